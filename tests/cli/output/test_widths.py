"""Tables on terminals of 60, 80 and 200 columns: each row is one line, and no line is longer than the terminal."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, muse, on_a_terminal

pytestmark = pytest.mark.process

ACTORS = ("ada", "agent-" + "x" * 34, "日本語の作曲家さんの長い名前です", "\N{VIOLIN}" * 20)
COMMANDS = {
    "sessions": ("sessions",),
    "stats": ("stats", "s"),
    "query": ("query", "s", "--limit", "9"),
    "fields": ("query", "s", "--limit", "9", "--fields", "created_at,op_id,actor_id,domain_op.address,domain_op"),
    "replay": ("replay", "s"),
    "tail": ("tail", "s", "-n", "9"),
    "blame": ("blame", "s", "src/" + "z" * 60),
    "conflicts": ("conflicts", "s"),
    "contested": ("conflicts", "s", "--address", "src/" + "z" * 60),
    "show": ("show", "s", making.op_id(3)),
    "delta": ("delta", "s", "music"),
    "diff": ("diff", "s", "start", "now"),
    "verify": ("verify", "harmed"),
    "checkpoint": ("checkpoint", "a" * 60, "c" * 40),
}
ROWS = {
    "blame": 4,
    "conflicts": 1,
    "sessions": 3,
    "query": 9,
    "fields": 9,
    "replay": 40,
    "tail": 9,
    "delta": 20,
    "checkpoint": 1,
}
"""How many rows each table has; those that are not here have several tables."""
SCRIPT = """
import sys
from muse.cli import main
for command in sys.argv[1:]:
    try:
        main(["op-log", *command.split("\\t")])
    except SystemExit as end:
        print(f"\\f{end.code}", flush=True)
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions with names, addresses and summaries that are long, wide or both; one of them is damaged."""
    repo = tmp_path_factory.mktemp("repo")
    op = {"op": "insert-something", "address": "src/" + "z" * 60, "content_summary": "日本" * 30}
    for session in ("s", "a" * 60, "harmed"):
        filled(
            repo,
            [
                making.entry(
                    n,
                    lamport_ts=n * 10**13,
                    actor_id=ACTORS[n % 4],
                    domain=("music", "a-very-long-name-of-a-domain")[n // 4 % 2],
                    parent_op_ids=[making.op_id(1)] if n > 1 else [],
                    domain_op=op if n % 3 else {"op": "x"},
                    created_at=f"2026-01-01T00:{n:02}:00Z",
                )
                for n in range(1, 41)
            ],
            session,
        )
    muse("query", "harmed", "--repo", repo)
    log = making.log_path(repo, "harmed")
    log.write_bytes(log.read_bytes()[:-3000] + b"bad\n{torn")
    return repo


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def printed(repo: Path, columns: int) -> dict[str, list[str]]:
    """The lines that each command prints on a terminal of this width, one process for all of them."""
    words = ["\t".join((*words, "--repo", str(repo))) for words in COMMANDS.values()]
    command = [sys.executable, "-W", "error", "-c", SCRIPT, *words]
    sent = on_a_terminal(command, columns, subprocess.DEVNULL, NO_COLOR="1", PYTHONUTF8="1")
    lines: dict[str, list[str]] = {}
    parts = iter(sent.replace("\r\n", "\n").split("\f"))
    text = next(parts)
    for name, part in zip(COMMANDS, parts, strict=True):
        code, _, following = part.partition("\n")
        assert code == ("1" if name == "verify" else "0"), (name, text)
        lines[name] = text.splitlines()
        text = following
    return lines


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_row_of_any_table_is_wrapped(crowded: Path, columns: int) -> None:
    """Each row is one line that fits, with its number, its time and its name, however long the other cells are."""
    found = printed(crowded, columns)

    for name, lines in found.items():
        assert [line for line in lines if cells(line) > columns] == [], name
        assert len(lines) == ROWS.get(name, len(lines) - 1) + 1, name
    for name in ("query", "replay", "tail"):
        heading, *rows = found[name]
        assert heading.split()[:3] == ["LAMPORT", "UTC", "ACTOR"]
        minutes = {f"00:{int(row.split()[0]) // 10**13:02}:00" in row for row in rows}
        assert minutes == {True}
    starts = [line.split(" ")[0] for line in found["stats"]]
    assert starts[starts.index("ACTOR") + 1 :][4] == ""
    assert starts[starts.index("DOMAIN") + 1 :][2] == ""
    assert any("\u2588" in line for line in found["stats"])
    assert [line.split()[1] for line in found["sessions"]].count("40") == 2
