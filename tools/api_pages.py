"""Adds the public names to the pages of the reference, so that a new name appears there automatically."""

from __future__ import annotations

import inspect
import re
from types import FunctionType

from muse.core import op_log
from muse.core.op_log import OpLog

_NAMES_HERE = re.compile(r"^::: public (functions|types|errors)$", re.MULTILINE)
_METHODS_HERE = "::: public methods"
_GROUP_OR_METHOD = re.compile(r"^    (?:# -- (?P<group>.+?) -+|def (?P<method>\w+)\()", re.MULTILINE)


def with_public_names(markdown: str) -> str:
    """Replace a line `::: public <kind>` of a page by a directive for each public name of that kind."""
    written = _NAMES_HERE.sub(
        lambda line: "\n\n".join(f"::: muse.core.op_log.{name}" for name in names(line[1])), markdown
    )
    return written.replace(_METHODS_HERE, _methods()) if _METHODS_HERE in written else written


def names(kind: str) -> list[str]:
    """The public names of a kind, sorted. `OpLog` is left out, because it has its own page."""
    return [name for name in sorted(op_log.__all__) if name != "OpLog" and kind_of(name) == kind]


def kind_of(name: str) -> str:
    """The kind of a public name: functions, errors or types."""
    value = getattr(op_log, name)
    if isinstance(value, FunctionType):
        return "functions"
    return "errors" if isinstance(value, type) and issubclass(value, Exception) else "types"


def _methods() -> str:
    """Directives for `OpLog` and its methods, under the headings that stand above them in its source."""
    groups = {group: methods for group, methods in groups_of_methods().items() if group and methods}
    below = [method for methods in groups.values() for method in methods]
    lines = [
        "::: muse.core.op_log.OpLog",
        f'    options: {{filters: ["!^_", "!^({"|".join(below)})$"]}}',
    ]
    for group, methods in groups.items():
        lines += ["", f"## {group.capitalize()}"]
        for method in methods:
            lines += ["", f"::: muse.core.op_log.OpLog.{method}", "    options: {heading_level: 3}"]
    return "\n".join(lines)


def groups_of_methods() -> dict[str, list[str]]:
    """The methods with a docstring by the group comment `# -- group ----` above them; "" if there is none above."""
    groups: dict[str, list[str]] = {"": []}
    group = ""
    for found in _GROUP_OR_METHOD.finditer(inspect.getsource(OpLog)):
        if found["group"]:
            group = found["group"]
            groups[group] = []
        elif _is_public(found["method"]):
            groups[group].append(found["method"])
    return groups


def _is_public(method: str) -> bool:
    private = method.startswith("_") and not method.endswith("__")
    return not private and method != "__init__" and getattr(OpLog, method).__doc__ is not None
