"""What stands for an op of a session, or for a moment of it, and the options --since and --upto."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from muse.cli.engine import engine
from muse.cli.options.repository import git_target
from muse.cli.options.session import repo_of
from muse.cli.output.failures import WrongUsage
from muse.cli.output.together import together

if TYPE_CHECKING:
    from datetime import datetime

_TIME = "2026-05-03T14:00"
_HELP = f"""

    A moment is an op_id or its beginning, a time such as {_TIME} (UTC if it names no zone), a Lamport
    timestamp, the snapshot id of the checkpoint, commit:ID for a commit in git, or start, checkpoint or now. A number
    of 8 digits or more is an op_id if one begins with it; lamport:N never is.
"""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_SHORTEST_OP_ID = 8
_SHORTEST_PREFIX = 4
_MOST_NAMED = 5


def explain_moments(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add to the help text of a command what a moment is."""
    command.__doc__ = f"{command.__doc__}{_HELP}"
    return command


def moment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--since` and `--upto`; the command receives them as `moments`, to be given to `bounds`."""
    return together(
        "moments",
        dict,
        click.option("--since", metavar="MOMENT", help="Only what arrived after this moment."),
        click.option("--upto", metavar="MOMENT", help="Only what had arrived by this moment."),
    )(explain_moments(command))


def bounds(log: engine.OpLog, moments: dict[str, str | None]) -> dict[str, Any]:
    """The moments that were given, as the arguments `since` and `upto` of `OpLog.query`."""
    return {name: find_cut(log, text) for name, text in moments.items() if text is not None}


def find_op(log: engine.OpLog, begun: str) -> engine.OpEntry:
    """The entry whose op_id is `begun` or begins with it.

    Raises:
        WrongUsage: no entry fits, or several do.
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


def find_cut(log: engine.OpLog, text: str) -> engine.Cut:
    """The cut of a session that a text stands for.

    Raises:
        WrongUsage: it stands for none, or for several.
        InvalidArgumentError: it is a time or a timestamp that stands for none.
    """
    if text.startswith("commit:"):
        return _cut_of_commit(log, text.removeprefix("commit:"))
    if text in ("start", "now"):
        return log.cut() if text == "now" else engine.Cut(log.session_id, 0, 0)
    at: str | int | datetime | None = engine.parse_time(text) if _DATE.match(text) else None
    if at is None and not text.startswith("lamport:") and log.get(text) is None:
        # Not asked of what is sure without it: the checkpoint may be damaged.
        mark = log.read_checkpoint()
        if text in ("checkpoint", mark and mark["snapshot_id"]):
            return _cut_of_checkpoint(log, mark)
    if at is None:
        number = text.removeprefix("lamport:").lstrip("0")[:20]
        at = int(number or 0) if _is_timestamp(log, text) else _op_id(log, text)
    return log.cut(at=at)


def _op_id(log: engine.OpLog, text: str) -> str:
    try:
        return find_op(log, text.lower())["op_id"]
    except WrongUsage as error:
        raise WrongUsage(f"not a moment: {error.message}; nor is it a time such as {_TIME}, see --help") from None


def _is_timestamp(log: engine.OpLog, text: str) -> bool:
    number = text.removeprefix("lamport:")
    if not (number.isascii() and number.isdigit()):
        return False
    return number != text or len(text) < _SHORTEST_OP_ID or not log.op_ids_beginning(text[:32], limit=1)


def _cut_of_checkpoint(log: engine.OpLog, mark: engine.OpLogCheckpoint | None) -> engine.Cut:
    if mark is None:
        return engine.Cut(log.session_id, 0, 0)
    if "byte_offset" not in mark:
        raise WrongUsage("checkpoint.json is of the first version and does not say where it ends: name another moment")
    return engine.Cut(log.session_id, mark["byte_offset"], mark["op_count"])


def _cut_of_commit(log: engine.OpLog, begun: str) -> engine.Cut:
    commits = git_target(None, repo_of(log)).commits(log.session_id)
    found = [each.cut for each in commits if begun and each.commit_id.startswith(begun)]
    if len(found) != 1:
        raise WrongUsage(f"{len(found) or 'no'} commits of session {log.session_id!r} begin with {begun!r}")
    return found[0]
