"""The tools for agents as plain functions: what an answer leaves out, so that it stays bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, muse


@pytest.mark.parametrize("name", ["k" * 20_000, "short"])
def test_entry_with_too_many_further_fields_hides_no_other(repo: Path, name: str) -> None:
    """One may have any name, and an entry any number of them: it is shown without them, and the next one whole."""
    tools = pytest.importorskip("muse.mcp.tools", reason="needs pydantic", exc_type=ImportError)
    further = {f"{name}{number}": number for number in range(2_000 if name == "short" else 1)}
    filled(repo, [{**further, **making.entry(1)}, making.entry(2)])

    long, short = json.loads(tools.Tools(repo).query("s", order="oldest first"))["entries"]

    assert short == making.entry(2)
    assert {field: long[field] for field in short} == making.entry(1)
    assert f"{name[:50]}" in long["left_out"]
    assert len(json.dumps(long)) < 4_000


def test_repository_for_commits_that_are_not_allowed_is_wrong_usage(repo: Path) -> None:
    """Whoever names it would wait for them."""
    done = muse("mcp", "--git", repo, "--repo", repo)
    assert (done.exit_code, done.stderr) == (2, "Error: --git is of use with --allow-commit only\n")
