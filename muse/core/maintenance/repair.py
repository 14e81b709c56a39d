"""The way back: what can be had again of a damaged session, from its own bytes or from another replica."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from muse.core.checkpoint.record import RestoredCheckpoint
from muse.core.entry.codec import checksum, decode_line
from muse.core.entry.marker import Redaction, redacted_line
from muse.core.entry.model import OpEntry
from muse.core.maintenance.findings import Finding, LostOperation, VerifyReport
from muse.core.options import MAX_LINE_BYTES
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.redactions import read_redacted

_FIRST_FIELD = '{"op_id"'
MOST_BYTES_WITHIN = 2 * MAX_LINE_BYTES
"""In so many bytes at once entries are looked for: two of the longest, glued together."""

_MOST_STARTS = 1000
"""In one line; to look at more would take time without end in one that was made for that."""


@dataclass
class RepairReport:
    """What a repair does, or would do, and what it can't."""

    session_id: str
    """The session."""
    found_in_damage: list[str] = field(default_factory=list)
    """op_ids of entries that a damaged line holds whole: they are appended again."""
    taken: list[str] = field(default_factory=list)
    """op_ids of lost operations that the other log has: they are appended again, as their lines are there."""
    pending_again: list[str] = field(default_factory=list)
    """Those of both that the last checkpoint covers: they will be pending although the commit has them."""
    checkpoint: RestoredCheckpoint | None = None
    """What is written to `checkpoint.json` again."""
    not_repaired: list[str] = field(default_factory=list)
    """What stays as it is, and why."""

    @property
    def does_something(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.appended or self.checkpoint)

    @property
    def appended(self) -> int:
        """How many entries are appended again."""
        return len(self.found_in_damage) + len(self.taken)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        checkpoint = self.checkpoint and self.checkpoint._asdict()
        return {**asdict(self), "checkpoint": checkpoint, "does_something": self.does_something}


def lines_to_append(
    log: LogFile, report: VerifyReport, is_there: Callable[[str], bool], find: Callable[[str], bytes | None] | None
) -> tuple[RepairReport, list[bytes]]:
    """What is to be appended, in the order in which it was in the log, and what is said about it.

    Args:
        log: the damaged log.
        report: what is wrong with it, with every member listed.
        is_there: whether the log has an operation that can be read.
        find: the line of an operation in another log.
    """
    repair = RepairReport(report.session_id)
    redacted = read_redacted(log.path.parent)
    lines: dict[str, tuple[int, bytes]] = {}
    lost = {each.op_id: each for finding in report.findings for each in finding.operations}
    accepted = {each.op_id for finding in report.findings if finding.severity == "note" for each in finding.operations}
    for finding in report.findings:
        for at, entry, line in _whole_entries(log, finding):
            if entry["op_id"] not in lines and not is_there(entry["op_id"]):
                lines[entry["op_id"]] = at, _redacted(line, entry["op_id"], redacted)
                repair.found_in_damage.append(entry["op_id"])
    for operation in lost.values():
        if operation.op_id in lines:
            continue
        there = find and find(operation.op_id)
        if there and _is_it(operation, there):
            lines[operation.op_id] = operation.byte_offset, _redacted(there, operation.op_id, redacted)
            repair.taken.append(operation.op_id)
        elif operation.op_id not in accepted:
            repair.not_repaired.append(_why_not(operation, there, is_asked=find is not None))
    end, in_order = report.size_bytes, sorted(lines.items(), key=lambda each: each[1][0])
    for op_id, (at, line) in in_order:
        # What comes to lie where it was is covered as before: that is so if the end of the log was cut off.
        if op_id in lost and lost[op_id].snapshot_id is not None and at != end:
            repair.pending_again.append(op_id)
        end += len(line)
    return repair, [line for _, (_, line) in in_order]


def _redacted(line: bytes, op_id: str, redacted: Mapping[str, Redaction]) -> bytes:
    """A line as it may be appended: what was redacted here stays so, whoever still has the text."""
    said = redacted.get(op_id)
    return redacted_line(line, said) if said else line


def _is_it(operation: LostOperation, line: bytes) -> bool:
    """Whether a line of another log is the lost one; it may be spelled differently there."""
    entry = decode_line(line)
    known = (operation.actor_id, operation.lamport_ts, operation.domain)
    return entry is not None and (
        checksum(line) == operation.checksum or (entry["actor_id"], entry["lamport_ts"], entry["domain"]) == known
    )


def _why_not(operation: LostOperation, there: bytes | None, *, is_asked: bool) -> str:
    if there:
        return f"{operation.op_id}: the other log has another operation under this op_id"
    where = "the other log does not have it" if is_asked else "name a log that has it"
    return f"{operation.op_id} of {operation.actor_id} is lost: {where}"


def _whole_entries(log: LogFile, finding: Finding) -> Iterator[tuple[int, OpEntry, bytes]]:
    """Byte offset, entry and line of each entry that stands whole in the bytes of a finding, but not as a line."""
    is_of_lines = finding.kind in ("damaged-line", "torn-tail", "operation-lost") and log.size()
    if finding.severity != "damage" or not is_of_lines or finding.byte_offset is None:
        return
    start = finding.byte_offset
    # The line that lies there now may be longer than what is lost: half of that, and then the whole of it.
    end = _end_of_line(log, start + (finding.length or 0))
    while start < end:
        piece = log.read(start, min(start + MOST_BYTES_WITHIN, end))
        # Whole lines, unless one is longer than all that is looked at at once.
        piece = piece[: piece.rfind(b"\n") + 1] or piece
        if not piece:
            return
        for data in piece.splitlines(keepends=True):
            for at, entry, line in entries_within(data):
                if line != data:
                    yield start + at, entry, line
            start += len(data)


def _end_of_line(log: LogFile, at: int) -> int:
    """The byte offset after the line that byte `at` - 1 lies in."""
    if log.read(at - 1, at) == b"\n":
        return at
    while piece := log.read(at, at + CHUNK_BYTES):
        if newline := piece.find(b"\n") + 1:
            return at + newline
        at += len(piece)
    return at


def entries_within(data: bytes) -> Iterator[tuple[int, OpEntry, bytes]]:
    """Place, entry and line of each entry that stands whole in the bytes of one line."""
    # Latin-1, so that characters are bytes: what JSON is made of is ASCII.
    text = data.decode("latin-1")
    at = text.find(_FIRST_FIELD)
    for _ in range(_MOST_STARTS):
        if at < 0:
            break
        try:
            end = json.JSONDecoder().raw_decode(text, at)[1]
            line = data[at:end] + b"\n"
            entry = decode_line(line)
        except (ValueError, RecursionError):
            end, entry = at + 1, None
        if entry is not None:
            yield at, entry, line
        at = text.find(_FIRST_FIELD, end)
