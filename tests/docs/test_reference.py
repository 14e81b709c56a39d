"""The reference is made from docstrings and help texts, so nothing public may be without them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import click
import pytest

from muse import domain
from muse.cli import main
from muse.core import op_log
from tests.docs.pages import ROOT, page

PLACES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
CLASSES = [name for name in op_log.__all__ if isinstance(getattr(op_log, name), type)]
TYPES = [
    name
    for name in CLASSES
    if dataclasses.is_dataclass(getattr(op_log, name)) or hasattr(getattr(op_log, name), "__total__")
]


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, and every public method of a public class, by name."""
    for name in op_log.__all__:
        value = getattr(op_log, name)
        if isinstance(value, FunctionType):
            yield name, value
        elif isinstance(value, type) and value.__module__.startswith("muse."):
            for method, member in vars(value).items():
                if not method.startswith("_") and isinstance(member, FunctionType):
                    yield f"{name}.{method}", member
    yield "OpLog.__init__", op_log.OpLog.__init__


FUNCTIONS = dict(functions())


def fields(cls: type) -> dict[str, str]:
    """The annotated fields in the body of a class, each with the docstring that follows it, "" where none does."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    told: dict[str, str] = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            says = following.value if isinstance(following, ast.Expr) else None
            told[statement.target.id] = str(says.value) if isinstance(says, ast.Constant) else ""
    return told


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of the program with its full name."""
    pending: list[tuple[str, click.Command]] = [("muse", main)]
    while pending:
        name, command = pending.pop()
        if isinstance(command, click.Group):
            pending += [(f"{name} {sub}", child) for sub, child in command.commands.items()]
        else:
            yield name, command


COMMANDS = dict(commands())


def test_reference_shows_each_kind_of_public_thing() -> None:
    """Each directive that gathers names or commands stands on exactly one page."""
    gathered = ["public methods", "public functions", "public types", "public errors", "muse.domain", "commands"]

    assert {what: PLACES.count(f"::: {what}\n") for what in gathered} == dict.fromkeys(gathered, 1)


@pytest.mark.parametrize("name", [*op_log.__all__, *domain.__all__])
def test_every_public_name_is_explained(name: str) -> None:
    """What can be imported has a docstring of its own."""
    value = getattr(op_log, name, None) or getattr(domain, name)
    if isinstance(value, type | FunctionType):
        assert value.__doc__
        assert value.__doc__ != getattr(value.__base__ if isinstance(value, type) else None, "__doc__", None)
    else:
        assert re.search(rf'^{name} = .*\n"""', page("muse/domain.py"), re.MULTILINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_explained(name: str) -> None:
    """The docstring of a function tells of each of its arguments, or says whose arguments they are."""
    function = FUNCTIONS[name]
    told = inspect.getdoc(function) or ""
    arguments = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
    named = [each.name for each in arguments if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]

    assert told
    if not re.search(r"\b(filters|arguments)\b.*`\w+`|`\w+`.*\b(filters|arguments)\b", told):
        assert [argument for argument in named if not re.search(rf"\b{argument}\b", told)] == []


@pytest.mark.parametrize("name", TYPES)
def test_every_field_of_a_type_is_explained(name: str) -> None:
    """What a record holds is said field by field."""
    assert [field for field, told in fields(getattr(op_log, name)).items() if not told.strip()] == []


def test_every_attribute_of_a_log_is_explained() -> None:
    """What an open log lets one read has a docstring where it is set."""
    with op_log.OpLog(ROOT, "never written") as log:
        attributes = {name for name in vars(log) if not name.startswith("_")}
    source = page("muse/core/op_log.py")

    assert attributes
    assert {name for name in attributes if not re.search(rf'self\.{name} = .*\n +"""', source)} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_its_options(name: str) -> None:
    """A command tells what it does, names its arguments, has words for each option, and an example to copy."""
    command = COMMANDS[name]
    arguments = [(each.name or "").upper() for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]

    assert command.help
    assert [argument for argument in arguments if argument not in command.help] == []
    assert [option.name for option in options if not option.help] == []
    assert re.search(rf"^Examples?: .*(?:\n  .*)*\n  .*{re.escape(name)}\b", command.epilog or "", re.MULTILINE)
