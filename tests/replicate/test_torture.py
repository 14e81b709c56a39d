"""A short round of the torture of `tests.replicate.torture`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.replicate import servers
from tests.replicate.torture.round import play


@pytest.mark.process
@pytest.mark.slow
def test_after_random_harm_all_have_all_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """One server, three hosts at work, another seed each time."""
    if reason := servers.why_not():
        pytest.skip(reason)
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    print(play(tmp_path, seed, 3, is_cluster=False))
