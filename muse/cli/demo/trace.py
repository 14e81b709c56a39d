"""Edits, and reading them from recorded traces.

A trace is a JSON Lines file, plain or gzipped. Each line is one edit:

    {"actor_id": str, "parents": [numbers, from 0, of earlier lines], "domain": str, "domain_op": {...}}

Parents come before their children. Other keys are ignored.
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
    """One edit that has no op_id and no timestamp yet."""

    actor_id: str
    parents: tuple[int, ...]
    """The earlier edits that it depends on, as positions in the same list."""
    domain: str
    domain_op: Any


def read_trace(path: Path) -> list[Edit]:
    """Read the edits of a recorded trace.

    Raises:
        BadDataFound: a line does not follow the format. The message gives its number and the reason.
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
        raise BadDataFound(f"{path}: contains no edits")
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
    """Join several lists of edits; the positions of parents are adjusted."""
    joined: list[Edit] = []
    for part in parts:
        start = len(joined)
        joined += [
            Edit(edit.actor_id, tuple(parent + start for parent in edit.parents), edit.domain, edit.domain_op)
            for edit in part
        ]
    return joined
