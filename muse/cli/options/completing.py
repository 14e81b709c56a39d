"""Shell completion of the repository's sessions and of a session's actors and domains.

A name that the shell would have to quote is not offered, because click's scripts insert words without quoting.
Errors are silent and offer nothing, because a message would appear in the middle of the line being typed. So are the
engine's warnings.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path

import click

from muse.cli.engine import engine
from muse.cli.options.repository import find_repo

_MOST_OFFERED = 500
_LONGEST_OFFERED = 200


def complete_sessions(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The ids of the repository's sessions that begin with `begun`."""
    try:
        return _offered(engine.list_sessions(_repo(context)), begun)
    except OSError:
        return []


def _repo(context: click.Context) -> Path:
    given = context.params.get("repo")
    return find_repo(Path(given) if given else None)


def _names(kind: str, context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    # While the last option has no value yet, click leaves the arguments unparsed.
    session = context.params.get("session") or next(iter(context.args), None)
    if not session:
        return []
    logging.getLogger("muse").addHandler(logging.NullHandler())
    try:
        with engine.OpLog(_repo(context), session) as log:
            # Without an index, TAB would wait until it is built.
            return _offered(getattr(log, kind)(), begun) if (log.folder / "index.db").is_file() else []
    except (engine.MuseError, OSError):
        return []


complete_actors = partial(_names, "actors")
"""The actors, beginning with `begun`, of the session named earlier in the line."""
complete_domains = partial(_names, "domains")
"""The domains, beginning with `begun`, of the session named earlier in the line."""


def _offered(names: Iterable[str], begun: str) -> list[str]:
    short = (name for name in names if name.startswith(begun) and len(name) <= _LONGEST_OFFERED)
    return list(islice((name for name in short if shlex.quote(name) == name), _MOST_OFFERED))
