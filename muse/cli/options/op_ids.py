"""The op that an argument stands for."""

from __future__ import annotations

from muse.cli.engine import engine
from muse.cli.output.failures import WrongUsage

_SHORTEST_PREFIX = 4
_MOST_NAMED = 5


def find_op(log: engine.OpLog, begun: str) -> engine.OpEntry:
    """The entry whose op_id is `begun` or begins with it.

    Raises:
        WrongUsage: there is no such entry, or more than one.
    """
    entry = log.get(begun)
    if entry is not None:
        return entry
    if len(begun) < _SHORTEST_PREFIX:
        raise WrongUsage(f"{begun!r} is too short: give the first {_SHORTEST_PREFIX} letters of an op_id, or more")
    try:
        alike = log.op_ids_beginning(begun, limit=_MOST_NAMED + 1)
    except engine.InvalidArgumentError:
        raise WrongUsage(f"{begun!r} is neither an op_id nor the beginning of one") from None
    if not alike:
        raise WrongUsage(f"no op of session {log.session_id!r} has an op_id that begins with {begun!r}")
    if len(alike) > 1:
        named = ", ".join(alike[:_MOST_NAMED]) + (", …" if len(alike) > _MOST_NAMED else "")
        raise WrongUsage(f"{begun!r} is the beginning of several op_ids: {named}")
    (entry,) = filter(None, map(log.get, alike))
    return entry
