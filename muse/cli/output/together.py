"""Options that belong together: a command receives them as one argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What adds options or arguments to a command."""


def together(name: str, make: Callable[..., Any], *options: Decorator) -> Decorator:
    """Add some options; the command receives as `name` what `make` makes of their values, given by their names."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def gathered(*arguments: Any, **given: Any) -> Any:
            made = make(**{each: given.pop(each) for each in names})
            return command(*arguments, **{name: made}, **given)

        before = len(parameters(gathered))
        for option in reversed(options):
            option(gathered)
        names = [parameter.name for parameter in parameters(gathered)[before:]]
        return gathered

    return add


def parameters(command: Callable[..., Any]) -> list[Any]:
    """The options and arguments of a command so far; the last one of its help text stands first."""
    return getattr(command, "__click_params__", [])
