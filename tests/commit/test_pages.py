"""What the pages about commits must have."""

from __future__ import annotations

import muse.commit
from muse.commit.testing import TargetContract
from tests.docs.pages import page

REFERENCE = page("docs/reference/commit.md")


def test_every_public_name_is_in_the_reference_and_has_a_docstring() -> None:
    """What is imported from `muse.commit` is explained."""
    assert [name for name in muse.commit.__all__ if f"::: muse.commit.{name}\n" not in REFERENCE] == []
    assert [name for name in muse.commit.__all__ if not getattr(muse.commit, name).__doc__] == []


def test_every_test_of_a_target_says_what_is_expected() -> None:
    """Whoever writes a target reads them."""
    tests = [member for name, member in vars(TargetContract).items() if name.startswith("test_")]
    assert len(tests) >= 9
    assert all(test.__doc__ for test in tests)
