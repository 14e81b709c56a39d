"""The drafts of this project's own functions, and the edits made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from muse.cli.demo.drafts import edits, parsed, project_drafts, tokens
from tests import making
from tests.cli.demo.playing import play

TWO = """A comment.

=== a.py by ada
=== draft
def one(number): return number
=== draft reading bob
def two(value): return value
=== b.py by bob
=== draft
nothing
"""


@pytest.mark.parametrize("apart", [False, True])
def test_playing_the_edits_gives_the_functions_as_they_stand_in_the_project(apart: bool) -> None:
    """Typed token by token, corrected and redrafted, each ends as a passage of its source file."""
    content = play([edit.domain_op for edit in edits(project_drafts(), apart=apart)])

    assert content
    for address, written in content.items():
        path = making.PROJECT / address.partition("#")[0]
        assert "".join(written).startswith("def ")
        assert "".join(written) in path.read_text("utf-8")


def test_every_draft_is_passed_through() -> None:
    """Each draft is reached on the way, in order: somebody did write it."""
    for writing in project_drafts():
        assert len(writing.drafts) >= 2
        texts = [draft.text for draft in writing.drafts]
        assert len(set(texts)) == len(texts)


def test_edits_include_slips_and_renames() -> None:
    """Real editing is more than inserting."""
    made = [edit.domain_op for edit in edits(project_drafts(), apart=False)]

    assert {op["op"] for op in made} == {"insert", "delete", "replace", "patch"}
    assert any(op["op"] == "patch" and op["child_summary"].startswith("rename ") for op in made)


def test_author_who_reads_another_depends_on_them() -> None:
    """The first edit of a draft that says so has the other's latest edit as a parent."""
    made = edits(parsed(TWO), apart=False)
    by_both = [edit for edit in made if len(edit.parents) > 1]

    assert len(by_both) == 1
    assert {made[parent].actor_id for parent in by_both[0].parents} == {"ada (editor)", "bob (editor)"}


def test_rename_is_one_patch() -> None:
    """A word that gives way to one other everywhere is renamed at once; the rest goes token by token."""
    made = [edit.domain_op for edit in edits(parsed(TWO), apart=False) if edit.domain_op["address"] == "a.py"]

    patches = [op for op in made if op["op"] == "patch"]
    assert [op["child_summary"] for op in patches] == ["rename number to value"]
    assert "".join(play(made)["a.py"]) == "def two(value): return value\n"


def test_tokens_put_together_are_the_text(tmp_path: Path) -> None:
    """Nothing is lost between tokens, not even at the ends of lines."""
    for text in (TWO, "", "\n\n  x\n", Path(__file__).read_text("utf-8")):
        assert "".join(tokens(text)) == text


@pytest.mark.parametrize("head", ["a.py from ada", "draft of ada", "a.py by ada alone", ""])
def test_section_that_is_not_of_the_format_is_named(head: str) -> None:
    """The error quotes the line."""
    with pytest.raises(ValueError, match="not a line of the drafts format"):
        parsed(f"=== a.py by ada\n=== {head}\n")
