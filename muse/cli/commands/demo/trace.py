"""The edits of the demo, read from a trace: JSON Lines, plain or gzipped. Each line is one edit:

    {"actor_id": str, "parents": [numbers, from 0, of earlier lines], "domain": str, "domain_op": {...}}

Other keys are ignored.
"""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import Any

from muse.cli.input.lines import read_lines
from muse.cli.output.failures import BadDataFound
from muse.core.op_log import parse_object

Edit = dict[str, Any]
"""The arguments of `OpLog.record`, with an op_id made beforehand, so that others can name the edit as a parent."""


def read_trace(path: Path) -> list[Edit]:
    """The edits of a trace; a `BadDataFound` that names the line if one is no edit."""
    edits: list[Edit] = []
    try:
        with path.open("rb") as file:
            for line in filter(lambda line: line.content, chain.from_iterable(read_lines(file))):
                edits.append(_edit(parse_object(line.content), edits))
    except BadDataFound as error:
        raise BadDataFound(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataFound(f"{path}: line {line.number}: not an edit: {error!r}") from None
    if not edits:
        raise BadDataFound(f"{path}: contains no edits")
    return edits


def _edit(found: Any, before: list[Edit]) -> Edit:
    edit = {name: found[name] for name in ("actor_id", "domain", "domain_op")}
    if not all(name and isinstance(name, str) for name in (edit["actor_id"], edit["domain"])):
        raise ValueError("actor_id and domain must be text, and not empty")
    if not all(type(parent) is int and 0 <= parent < len(before) for parent in found["parents"]):
        raise ValueError("parents must be numbers of earlier lines, from 0")
    parent_op_ids = [before[parent]["op_id"] for parent in found["parents"]]
    return {"op_id": str(uuid.uuid4()), **edit, "parent_op_ids": parent_op_ids}
