"""Row 57: names of 400 kB are cut before they are laid out; what is for programs has them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from muse.cli.commands.watch.arrivals import Watched
from muse.cli.commands.watch.picture import picture
from tests import making
from tests.cli.running import filled, json_lines, muse

LETTERS = 400_000
LONGEST_LINE = 20_000
"""A row has some columns of a thousand characters at most."""


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with 10 actors, domains and kinds of such names; all but the first op depend on it."""
    repo = tmp_path_factory.mktemp("long")
    filled(
        repo,
        (
            making.entry(
                number,
                actor_id=f"{number:02}" + "音\x1b" * 500 + "a" * (LETTERS - 1000),
                domain=f"{number:02}" + "d" * LETTERS,
                domain_op={"op": f"{number:02}" + "k" * LETTERS, "address": "x" * LETTERS},
                parent_op_ids=[making.op_id(1)] if number > 1 else [],
            )
            for number in range(1, 11)
        ),
    )
    return repo


@pytest.mark.parametrize(
    "command",
    [
        ("query", "s"),
        ("query", "s", "--fields", "actor_id,domain"),
        ("replay", "s"),
        ("tail", "s"),
        ("stats", "s", "--all"),
        ("sessions",),
        ("delta", "s", "none"),
        ("verify", "s"),
        ("show", "s", making.op_id(10)),
        ("show", "s", making.op_id(1)),
    ],
    ids=" ".join,
)
def test_tables_cut_names(long_names: Path, command: tuple[str, ...]) -> None:
    """Row 57: no line of a table or a note is longer than its columns allow, and the cut shows."""
    result = muse(*command, "--repo", long_names)
    table = result.stdout.partition("PARENT")[2] or result.stdout.partition("CHILD")[2] or result.stdout

    assert result.exit_code == 0
    assert max(map(len, table.splitlines() + result.stderr.splitlines())) < LONGEST_LINE
    assert "…" in table + result.stderr or command[0] == "verify"


def test_screen_cuts_names(long_names: Path) -> None:
    """Row 57: `watch` lays out no more of a name than a line has room for."""
    watched = Watched(long_names, "s", 0.0)
    watched.poll(1.0)
    lines = picture(watched.view(1.0), 100, 40)
    watched.close()

    assert max(len(line.plain) for line in lines) <= 100


def test_programs_get_names_whole(long_names: Path) -> None:
    """Row 57: JSON and CSV hold every character."""
    as_json = muse("query", "s", "--limit", 2, "--json", "--repo", long_names)
    as_csv = muse("query", "s", "--limit", 1, "--format", "csv", "--fields", "domain", "--repo", long_names)

    assert [len(entry["domain"]) for entry in json_lines(as_json.stdout)] == [LETTERS + 2] * 2
    assert as_csv.stdout.splitlines()[1] == "01" + "d" * LETTERS
