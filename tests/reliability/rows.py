"""Which tests show which row of the failure table: read off their docstrings, "Row 5: …".

python -m tests.reliability.rows        # the table of docs/reliability.md, in Markdown
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]

ROWS = {
    1: "log cut at every byte of its last lines",
    2: "record glued to a torn fragment",
    3: "every bit of a middle line flipped",
    4: "NULs at the tail, in the middle, before a good record",
    5: "ENOSPC, EDQUOT, EFBIG, short write",
    6: "EIO on read",
    7: "fsync fails",
    8: "read-only folder or file system, no permission",
    9: "ops.jsonl deleted, replaced or truncated while open",
    10: "kill -9 at any moment",
    11: "fork",
    12: "two processes, same actor; clocks back or ahead",
    13: "64 MiB line; 100,000 nested arrays",
    14: "CRLF, BOM, blank lines, foreign lines, U+2028 inside a string",
    15: "what JSON can't carry exactly",
    16: "session ids and links that lead out",
    17: "checkpoint.json missing, damaged, foreign, too far, contended",
    18: "index deleted, damaged, foreign, locked, unlinked while open",
    19: "rebuild while writers write",
    20: "SQLite's bug in concurrent WAL checkpoints",
    21: "log cut, emptied, deleted, put back older; lines altered, made longer or shorter",
    22: "a line damaged, then its entry appended or merged again",
    23: "index.db deleted, later checkpoint.json lost",
    24: "`record` whose fsync fails",
    25: "a process is stopped while it holds a lock or builds the index",
    26: "a FIFO in the place of a session's file",
    27: "handles dropped without `close`; no descriptors, no memory",
    28: "a five-field checkpoint, and a line that stands twice",
    29: "a line changed below a checkpoint, and later checkpoints",
    30: "one entry that can't be merged",
    31: "a peer's timestamp far above all others",
    32: "what is pending, where a covered line is damaged",
    33: "the log of one session can't be read",
    34: "the disk full during rebuild, demo, report, export",
    35: "a session made private, and the umask",
    36: "tests started with SIGINT ignored",
    37: "an entry that is there, given to a handle that syncs; after a failed fsync",
    38: "names on the way to a checkpoint or an import that were never synced",
    39: "an interrupt at any line of any call",
    40: "the same thread comes in again: a signal handler, a callback",
    41: "forks by several threads, or while another one is at work",
    42: "an index is built while others append",
    43: "op_ids that were made to look alike",
    44: "an index that was made to do harm: its schema, its trees, its blocks, its journal",
    45: "a bit in the last covered line or its newline; damage below a stored cut",
    46: "a five-field record older than what was seen",
    47: "one op_id with two contents, at the same moment",
    48: "`checkpoint` without a cut, by two processes",
    49: "an archive that was made to do harm: headers, sizes, numbers, checkpoint",
    50: "a device, FIFO, link, session's file in the place of a command's output; links beside it",
    51: "U+FFFE, U+FFFF and all else that XML can't hold, in names",
    52: "standard output, input or error closed, full, or without a reader",
    53: "no room in the temporary folder or for the index, in a command",
    54: "a link loop, a folder, a socket, a FIFO in the place of a session or of one of its files",
    55: "a reader of another user follows while a writer is live",
    56: "a long reader of index.db",
    57: "10 names of 400 kB",
    58: "a batch past 2 GiB",
    59: "a redaction cut off",
}
"""The rows of the failure table, by their numbers."""

HEADING = "| row | case | tests in tests/ |"

_CLAIM = re.compile(r"Rows? (\d+(?:(?:, | and )\d+)*): ")


class Test(NamedTuple):
    """One test function."""

    module: str
    """The path of its file in `tests/`."""
    name: str
    rows: tuple[int, ...]
    """The rows that its docstring names; none for what belongs to no row."""

    @property
    def node_id(self) -> str:
        """As pytest names it."""
        return f"tests/{self.module}::{self.name}"


@cache
def tests() -> tuple[Test, ...]:
    """Every test, in the order of the files."""
    return tuple(_read_tests())


def _read_tests() -> Iterator[Test]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                claim = _CLAIM.match(ast.get_docstring(node) or "")
                rows = tuple(map(int, re.findall(r"\d+", claim.group(1)))) if claim else ()
                yield Test(str(path.relative_to(TESTS)), node.name, rows)


def tests_of_row() -> dict[int, list[Test]]:
    """The tests of each row."""
    found: dict[int, list[Test]] = {row: [] for row in ROWS}
    for test in tests():
        for row in test.rows:
            found[row].append(test)
    return found


def table() -> str:
    """Row, case and tests as a Markdown table."""
    lines = [HEADING, "|---:|---|---|"]
    for row, found in tests_of_row().items():
        names = "; ".join(f"`{Path(test.module).name}::{test.name}`" for test in found)
        lines.append(f"| {row} | {ROWS[row]} | {names} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
