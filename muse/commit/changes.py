"""What of the committed lines the log no longer has as they were; and whether it is the log that was committed.

Asked only if the log's digest is not the commit's any more, since all commits of the session are read.
"""

from __future__ import annotations

from io import BytesIO

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
    for each in target.commits(log.session_id):
        start = Cut(log.session_id, each.start, each.cut.op_count - each.ops)
        found = _by_offset(log.read_slice(start, each.cut)[0])
        committed = _by_offset(target.lines(each))
        for at, line in committed.items():
            if found.get(at) != line and (entry := _entry(line)) is not None:
                changed.add(entry["op_id"])
        for at, line in found.items():
            if committed.get(at) != line and not _is_damage(line, committed.get(at, b"")):
                raise diverged(log, newest, f"which has another operation at byte {each.start + at}")
        if each == newest:
            break
    return frozenset(changed)


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


def _entry(line: bytes) -> OpEntry | None:
    try:
        return decode_line(line)
    except ValueError:  # it is damaged
        return None


def _is_damage(line: bytes, committed: bytes) -> bool:
    """Whether a line of the log can be what is left of a committed one."""
    entry, before = _entry(line), _entry(committed)
    if entry is None or (before is not None and entry["op_id"] == before["op_id"]):
        return True
    differing = sum(one != other for one, other in zip(line, committed, strict=False))
    return len(line) == len(committed) and differing <= _ALTERED_BYTES
