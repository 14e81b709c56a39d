"""Moments: where in the log an op_id, a Lamport timestamp or a time of day is. It is sought: few lines are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import chain

from muse.core.checkpoint.cut import Checkpoints, Cut
from muse.core.entry.filter import Filter
from muse.core.entry.model import parse_time
from muse.core.entry.validation import check_number
from muse.core.errors import InvalidArgumentError
from muse.core.handle_lock import Turn
from muse.core.paging import Pager
from muse.core.storage.reader import read_entries

_FEW = 8
"""As many entries are read at first to find one whose `created_at` is a time: nearly always the last is one."""


def cut_at(pager: Pager, checkpoints: Checkpoints, at: str | int | datetime | None) -> Cut:
    """The cut of a moment, as `OpLog.cut` says."""
    if isinstance(at, str):
        end: int | None = end_of_op(pager, "at", at)
    elif isinstance(at, datetime):
        end = _end_of_time(pager, at)
    elif at is not None:
        check_number("at", at, lowest=0)
        last = pager.pages(Filter(max_lamport_ts=at), lambda _log, places: list(places.ends), limit=1, reverse=True)
        end = next(chain.from_iterable(last), 0)
    else:
        end = None
    with Turn(pager.lock):
        return checkpoints.cut(end)


def end_of_op(pager: Pager, argument: str, op_id: str) -> int:
    """The byte offset after the line of an entry; an `InvalidArgumentError` if the log has no such entry."""
    end = pager.find(op_id, lambda _index, place: place.end)
    if end is None:
        raise InvalidArgumentError(f"{argument}: {pager.log.path} has no entry with the op_id {op_id[:60]!r}")
    return end


def _end_of_time(pager: Pager, at: datetime) -> int:
    if at.tzinfo is None:
        raise InvalidArgumentError(f"at: the time {at} has no time zone: give it one, such as datetime.UTC")
    reached, log_end = 0, pager.end()
    # The largest part that is before the time, then the largest part of the rest. Unlike halving, this ends at the same
    # place when later entries have come.
    for bit in reversed(range(log_end.bit_length())):
        ahead = reached + (1 << bit)
        if ahead <= log_end and _is_before(pager, reached, ahead, at):
            reached = ahead
    return reached


def _is_before(pager: Pager, start: int, stop: int, at: datetime) -> bool:
    """Whether the last entry of [start, stop) that tells when it was made was made at `at` or earlier, if any tells."""
    for limit in (_FEW, None):
        last = chain.from_iterable(pager.pages(Filter(start=start, stop=stop), read_entries, limit=limit, reverse=True))
        made = next(filter(None, (parse_time(entry["created_at"]) for entry in last)), None)
        if made is not None:
            return made <= at
    return True


def between(
    wanted: Filter,
    pager: Pager,
    checkpoints: Checkpoints,
    since: Cut | str | None,
    upto: Cut | str | None,
    *,
    since_checkpoint: bool,
) -> Filter:
    """A filter that takes only what arrived after one moment, up to another."""
    if since is not None and since_checkpoint:
        raise InvalidArgumentError("since_checkpoint: the position is given by `since` already: leave one of them out")
    if since is not None:
        wanted = replace(wanted, start=position(pager, checkpoints, "since", since))
    if upto is not None:
        wanted = replace(wanted, stop=position(pager, checkpoints, "upto", upto))
    if since_checkpoint:
        with Turn(pager.lock):
            wanted = replace(wanted, start=checkpoints.current()[1])
    return wanted


def position(pager: Pager, checkpoints: Checkpoints, argument: str, moment: Cut | str) -> int:
    """The byte offset of a cut, or the one after the entry with an op_id."""
    if isinstance(moment, str):
        return end_of_op(pager, argument, moment)
    with Turn(pager.lock):
        return checkpoints.check_cut(argument, moment).byte_offset
