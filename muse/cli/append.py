"""The command `append`: append JSON lines from a file or a pipe to a session.

The input is appended in batches, one write each. A batch never waits for input that has not come yet, so a line from
a slow writer is in the log before more input is read. The command stops at the first bad line. All lines before it
stay in the log.
"""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from muse.cli.failures import FOUND_DAMAGE, exit_with
from muse.cli.output import note, pluralize, print_json, print_table
from muse.cli.progress import ProgressBar
from muse.cli.repo import json_option, repo_option, session_argument

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry, OpLog

_BATCH_LINES = 1000
_READ_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 64 << 20
_BLANKS = b" \t\r\n"

_REQUIRED = ("actor_id", "domain", "domain_op")
_OPTIONAL = ("parent_op_ids", "intent_id", "reservation_id")


@dataclass
class Tally:
    """What has been appended so far. Everything counted here is in the log."""

    session_id: str
    lines: int = 0
    """Lines of input appended or already there; blank lines are not counted."""
    added: int = 0
    already_there: int = 0
    error: dict[str, Any] | None = field(default=None)
    """The bad line at which the command stopped: {"line": number from 1, "reason": text}."""


class _BadLine(Exception):  # noqa: N818 - always caught here; it reports bad input
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@click.command(
    short_help="Append JSON lines from a file or a pipe.",
    epilog="\b\n"
    "Examples: edits recorded elsewhere; one edit without the fields that are filled in.\n"
    "  muse op-log append demo edits.jsonl\n"
    """  echo '{"actor_id": "ada", "domain": "code", "domain_op": {"op": "x"}}' | muse op-log append demo""",
)
@session_argument
@click.argument("file", type=click.File("rb"), default="-")
@json_option("one object: session_id, lines, added, already_there and error (line, reason; null if none)")
@repo_option
def append(session: str, file: IO[bytes], repo: Path, *, as_json: bool) -> None:
    """Append the JSON lines of FILE, or of standard input, to SESSION. SESSION is created if it does not exist.

    A line is either a whole entry, which has an op_id, or an object with actor_id, domain and domain_op. The latter
    may also have parent_op_ids, intent_id and reservation_id; the other fields are filled in. The command stops at
    the first bad line, prints its number and the reason, and ends with exit code 1. The lines before it stay in the
    log.
    """
    from muse.core.op_log import OpLog

    tally = Tally(session)
    with OpLog(repo, session) as log:
        try:
            with ProgressBar(f"appending to {session}", "bytes") as bar:
                _append_all(log, file, tally, bar)
        except _BadLine as bad:
            tally.error = {"line": bad.number, "reason": str(bad)}
        except (Exception, KeyboardInterrupt):
            note(f"{pluralize(tally.added, 'entry')} appended before this failure:")
            raise
    _report(tally, as_json=as_json)
    exit_with(FOUND_DAMAGE if tally.error else 0)


def _report(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(tally))
    else:
        numbers = ("LINES", "ADDED", "ALREADY THERE")
        row = (tally.session_id, tally.lines, tally.added, tally.already_there)
        print_table(("SESSION", *numbers), [row], right=numbers)
    if tally.error:
        note(f"line {tally.error['line']}: {tally.error['reason']}")
        note(f"stopped there; {pluralize(tally.lines, 'good line')} before it kept")


def _append_all(log: OpLog, file: IO[bytes], tally: Tally, bar: ProgressBar) -> None:
    size_bytes = _size(file)
    done_bytes = 0
    for lines in _batches(file):
        _append_batch(log, lines, tally)
        done_bytes += sum(len(line) for _, line in lines)
        if size_bytes:
            bar(min(done_bytes, size_bytes), size_bytes)


def _size(file: IO[bytes]) -> int:
    """The size of a regular file, 0 for a pipe."""
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, AttributeError):
        return 0


def _batches(file: IO[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield batches of (line number, line). Each batch holds lines from a single read."""
    number = 0
    rest = b""
    while True:
        # read1 returns what is available; read would wait for the full amount.
        piece = cast("Any", file).read1(_READ_BYTES)
        lines = (rest + piece).split(b"\n")
        rest = lines.pop() if piece else b""
        for start in range(0, len(lines), _BATCH_LINES):
            part = lines[start : start + _BATCH_LINES]
            yield [(number + at, line) for at, line in enumerate(part, start=1)]
            number += len(part)
        if not piece:
            return
        if len(rest) > _LONGEST_LINE_BYTES:
            raise _BadLine(number + 1, f"longer than {_LONGEST_LINE_BYTES:,} bytes")


def _append_batch(log: OpLog, lines: list[tuple[int, bytes]], tally: Tally) -> None:
    """Append the lines. At a bad line, append those before it, then raise `_BadLine`."""
    from muse.core.op_log import InvalidEntryError

    batch: list[tuple[int, OpEntry]] = []
    whole_before = False
    for number, line in lines:
        if not line.strip(_BLANKS):
            continue
        try:
            fields = _parsed(line)
            whole = "op_id" in fields
            # A filled-in timestamp must be above all that are in the log. So whole entries, which have their own
            # timestamps, are written before one is chosen.
            if whole_before and not whole:
                _flush(log, batch, tally)
            whole_before = whole
            batch.append((number, cast("OpEntry", fields) if whole else _filled_in(log, fields)))
        except InvalidEntryError as refusal:
            _flush(log, batch, tally)
            raise _BadLine(number, str(refusal)) from None
    _flush(log, batch, tally)


def _flush(log: OpLog, batch: list[tuple[int, OpEntry]], tally: Tally) -> None:
    from muse.core.op_log import InvalidEntryError

    try:
        _count(tally, len(batch), log.append_many([entry for _, entry in batch]) if batch else 0)
    except InvalidEntryError:
        # Nothing of the batch was written. Append one by one to find the bad entry.
        for number, entry in batch:
            try:
                _count(tally, 1, int(log.append(entry)))
            except InvalidEntryError as refusal:
                raise _BadLine(number, str(refusal)) from None
    batch.clear()


def _count(tally: Tally, lines: int, added: int) -> None:
    tally.lines += lines
    tally.added += added
    tally.already_there += lines - added


def _parsed(line: bytes) -> dict[str, Any]:
    from muse.core.op_log import parse_object

    return parse_object(line.strip(_BLANKS))


def _filled_in(log: OpLog, fields: dict[str, Any]) -> OpEntry:
    """Make an entry of a line without op_id, filling in what `OpLog.record` would."""
    from muse.core.op_log import InvalidEntryError, make_op_entry

    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise InvalidEntryError(f"{missing[0]}: the field is missing")
    # Refuse unknown fields: a misspelt parent_op_ids or an intended timestamp must not be dropped silently.
    unknown = [name for name in fields if name not in (*_REQUIRED, *_OPTIONAL)]
    if unknown:
        raise InvalidEntryError(
            f"{unknown[0]}: not a field of a line without op_id, which may have {', '.join(_REQUIRED + _OPTIONAL)}"
        )
    parents = fields.get("parent_op_ids", [])
    if not isinstance(parents, list):
        raise InvalidEntryError("parent_op_ids: must be a list of op_ids")
    return make_op_entry(
        fields["actor_id"],
        fields["domain"],
        fields["domain_op"],
        log.next_lamport_ts(),
        parent_op_ids=parents,
        intent_id=fields.get("intent_id", ""),
        reservation_id=fields.get("reservation_id", ""),
    )
