"""Edits, and the recorded traces they can be read from.

A trace is JSON Lines, gzipped or plain. A line is one edit:

    {"actor_id": str, "parents": [numbers, from 0, of earlier lines], "domain": str, "domain_op": {...}}

Its lines are in a topological order; further keys are passed over.
"""

# ruff: noqa: PLC0415 - orjson is imported only when used, so that --help is fast

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muse.cli.failures import BadDataFound

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit, before it has an identity, a timestamp or a place in a log."""

    actor_id: str
    parents: tuple[int, ...]
    """Positions, in the same list, of the earlier edits it depends on."""
    domain: str
    domain_op: Any


def read_trace(path: Path) -> list[Edit]:
    """The edits of a recorded trace.

    Raises:
        BadDataFound: a line is not of the format; names its number and what is wrong.
        OSError: the file can't be read.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
    try:
        with gzip.open(path) if zipped else path.open("rb") as lines:
            edits = [_edit(line, number) for number, line in enumerate(lines) if line.strip()]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadDataFound(f"{path}: damaged gzip file: {error}") from None
    except _NotAnEditError as error:
        raise BadDataFound(f"{path}: line {error}") from None
    if not edits:
        raise BadDataFound(f"{path}: holds no edits")
    return edits


class _NotAnEditError(ValueError):
    pass


def _edit(line: bytes, number: int) -> Edit:
    import orjson

    try:
        found = orjson.loads(line)
        edit = Edit(found["actor_id"], tuple(found["parents"]), found["domain"], found["domain_op"])
    except orjson.JSONDecodeError as error:
        raise _NotAnEditError(f"{number + 1}: not JSON: {error.msg}") from None
    except KeyError as error:
        raise _NotAnEditError(f"{number + 1}: the field {error} is missing") from None
    except TypeError:
        raise _NotAnEditError(f"{number + 1}: not an edit of the trace format") from None
    if any(not name or not isinstance(name, str) for name in (found["actor_id"], found["domain"])):
        raise _NotAnEditError(f"{number + 1}: actor_id and domain must be text, and not empty")
    if not all(type(parent) is int and 0 <= parent < number for parent in edit.parents):
        raise _NotAnEditError(f"{number + 1}: parents must be numbers of earlier lines, from 0")
    return edit


def one_after_another(parts: Iterable[Sequence[Edit]]) -> list[Edit]:
    """Several lists of edits as one; what they depend on moves along."""
    joined: list[Edit] = []
    for part in parts:
        start = len(joined)
        joined += [
            Edit(edit.actor_id, tuple(parent + start for parent in edit.parents), edit.domain, edit.domain_op)
            for edit in part
        ]
    return joined
