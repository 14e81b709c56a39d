"""Which public names are described on which page of the reference: what is new appears there by itself."""

from __future__ import annotations

import re
from types import FunctionType

from muse.core import op_log

_HERE = re.compile(r"^::: public (functions|types|errors)$", re.MULTILINE)


def with_public_names(markdown: str) -> str:
    """A page with a directive for each public name in place of the line `::: public <kind>`."""
    return _HERE.sub(lambda line: "\n\n".join(f"::: muse.core.op_log.{name}" for name in names(line[1])), markdown)


def names(kind: str) -> list[str]:
    """The public names of a kind, in alphabetical order; `OpLog` has a page of its own."""
    return [name for name in sorted(op_log.__all__) if name != "OpLog" and kind_of(name) == kind]


def kind_of(name: str) -> str:
    """Which group a public name belongs to."""
    value = getattr(op_log, name)
    if isinstance(value, FunctionType):
        return "functions"
    return "errors" if isinstance(value, type) and issubclass(value, Exception) else "types"
