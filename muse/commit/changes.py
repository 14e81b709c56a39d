"""What of the committed lines the log no longer has as they were; and whether it is the log that was committed.

Asked only if the log's digest is not the commit's any more, since all commits of the session are read.
"""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from muse.commit.batch import CommitHistory, CommitTarget, Committed
from muse.commit.errors import CommitDivergedError
from muse.core.op_log import Cut, OpEntry, OpLog, decode_line

_ALTERED_BYTES = 8
"""In how many bytes a line may differ to be the same line, damaged. Lines of different operations differ in more."""


def committed_but_changed(log: OpLog, target: CommitTarget, newest: Committed) -> frozenset[str]:
    """The op_ids of committed lines that are damaged in the log by now. Appended again, they are not new.

    Raises:
        CommitDivergedError: the log does not hold what was committed; or it is damaged and the target can't tell.
    """
    if not isinstance(target, CommitHistory):
        raise diverged(log, newest, "and the target can't tell which of its lines are damaged")
    changed: set[str] = set()
    commits = target.commits(log.session_id)
    for each, lines in zip(commits, target.lines(commits), strict=True):
        differing = differing_lines(lines_in_log(log, each), lines)
        if differing.foreign:
            raise diverged(log, newest, f"which has another operation at byte {each.start + differing.foreign[0]}")
        changed.update(differing.changed.values())
        if each == newest:
            break
    return frozenset(changed)


def lines_in_log(log: OpLog, commit: Committed) -> bytes:
    """The lines of the log where a commit's are; an `InvalidCutError` if the log has none there."""
    start = Cut(log.session_id, commit.start, commit.cut.op_count - commit.ops)
    return log.read_slice(start, commit.cut)[0]


class DifferingLines(NamedTuple):
    """How a piece of the log differs from the commit of it, by byte offset from where it begins."""

    changed: dict[int, str]
    """The op_ids of committed entries that are not there any more as they were."""
    foreign: list[int]
    """Where there are lines that can't be what is left of the committed ones."""


def differing_lines(found: bytes, committed: bytes) -> DifferingLines:
    """Hold the bytes of the log against those that were committed."""
    if found == committed:
        return DifferingLines({}, [])
    here, there = _by_offset(found), _by_offset(committed)
    differing = [(at, line) for at, line in there.items() if here.get(at) != line]
    changed = {at: entry["op_id"] for at, line in differing if (entry := decoded(line)) is not None}
    foreign = [at for at, line in here.items() if there.get(at) != line and not _is_damage(line, there.get(at, b""))]
    return DifferingLines(changed, foreign)


def diverged(log: OpLog, newest: Committed, how: str) -> CommitDivergedError:
    """The error for a log that the newest commit is not of."""
    return CommitDivergedError(
        f"{log.path}: the newest commit, {newest.commit_id}, covers {newest.cut.byte_offset} bytes that are not the "
        f"beginning of this log, {how}: commit from the log that was committed, after merging this one into it"
    )


def _by_offset(lines: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    for line in BytesIO(lines):
        found[at] = line
        at += len(line)
    return found


def decoded(line: bytes) -> OpEntry | None:
    """The entry of a line; None if it has none."""
    try:
        return decode_line(line)
    except ValueError:  # it is damaged
        return None


def _is_damage(line: bytes, committed: bytes) -> bool:
    """Whether a line of the log can be what is left of a committed one."""
    entry, before = decoded(line), decoded(committed)
    if entry is None or (before is not None and entry["op_id"] == before["op_id"]):
        return True
    differing = sum(one != other for one, other in zip(line, committed, strict=False))
    return len(line) == len(committed) and differing <= _ALTERED_BYTES
