"""docs/api.md: every public name, with its very signature, and every command with every option."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import click
import pytest

from muse import domain
from muse.cli import main
from muse.core import limits, op_log
from muse.core.op_log import OpLog
from tests.docs.pages import ROOT, fences, headings, page, section

API = page("docs/api.md")


# What the library asks of a handle when the process forks; nobody else calls it.
INTERNAL = {"lock", "start_anew_in_child"}


def described(name: str) -> bool:
    """Whether the page has the name as code."""
    return f"`{name}`" in API or name in headings(API)


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, and the public methods of `OpLog`, by the heading they must have."""
    for name in op_log.__all__:
        if isinstance(getattr(op_log, name), FunctionType):
            yield name, getattr(op_log, name)
    for name, member in vars(OpLog).items():
        if not name.startswith("_") and isinstance(member, FunctionType) and name not in INTERNAL:
            yield f"OpLog.{name}", member


def definition(source: str) -> ast.FunctionDef:
    """The function that a piece of Python defines, itself or in a class."""
    (found,) = ast.parse(textwrap.dedent(source)).body
    if isinstance(found, ast.ClassDef):
        (found,) = found.body
    assert isinstance(found, ast.FunctionDef)
    return found


def shape(function: ast.FunctionDef) -> tuple[str, str, str]:
    """Name, arguments and result of a function, in one spelling; a default is its value, not its name."""
    function.args.kw_defaults = [
        ast.Constant(getattr(limits, default.id)) if isinstance(default, ast.Name) else default
        for default in function.args.kw_defaults
    ]
    return (
        function.name,
        ast.unparse(function.args),
        ast.unparse(function.returns) if function.returns else "",
    )


def public_fields(name: str) -> set[str]:
    """The attributes, keys and methods that a public class shows."""
    cls = getattr(op_log, name)
    found = {key for key, member in vars(cls).items() if isinstance(member, FunctionType | property)}
    if dataclasses.is_dataclass(cls) or hasattr(cls, "__total__"):
        found |= set(cls.__annotations__)
    return {key for key in found if not key.startswith("_")}


CLASSES = [name for name in op_log.__all__ if isinstance(getattr(op_log, name), type)]
ERRORS = [name for name in CLASSES if issubclass(getattr(op_log, name), Exception)]


@pytest.mark.parametrize("name", [*op_log.__all__, *domain.__all__])
def test_every_public_name_is_described(name: str) -> None:
    """No name can be imported that the page does not have."""
    assert described(name)


@pytest.mark.parametrize(
    ("heading", "function"), list(functions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_function_has_its_signature(heading: str, function: Callable[..., Any]) -> None:
    """The signature shown below a function's heading is the one in the code, to the last default."""
    shown = fences(section(API, heading), "python")[0]

    assert shape(definition(shown)) == shape(definition(inspect.getsource(function)))


def test_the_constructor_has_its_signature() -> None:
    """The way to open a session is shown as it is in the code."""
    shown = fences(section(API, "OpLog"), "python")[0]

    assert shape(definition(shown)) == shape(definition(inspect.getsource(OpLog.__init__)))


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("OpLog", *ERRORS)])
def test_every_field_of_a_type_is_described(name: str) -> None:
    """Every key, attribute and method of a public type stands in its section."""
    text = section(API, name)

    assert {field for field in public_fields(name) if f"`{field}`" not in text and f"`{field}(" not in text} == set()


def test_every_attribute_of_a_log_is_described() -> None:
    """What an open log lets one read is in the table of its section."""
    with OpLog(ROOT, "never written") as log:
        attributes = {name for name in vars(log) if not name.startswith("_")} - INTERNAL
    attributes |= {name for name, member in vars(OpLog).items() if isinstance(member, property) and name[0] != "_"}

    assert {name for name in attributes if f"`{name}`" not in section(API, "OpLog")} == set()


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_shown_with_its_bases(name: str) -> None:
    """The row of an error names what it can be caught as."""
    (row,) = [line for line in section(API, "Errors").splitlines() if line.startswith(f"| `{name}`")]
    bases = [base.__name__ for base in getattr(op_log, name).__bases__]

    assert [base for base in bases if f"`{base}`" not in row] == []


@pytest.mark.parametrize("name", [name for name in domain.__all__ if name != "DomainOp"])
def test_every_field_of_a_domain_type_is_described(name: str) -> None:
    """The row or sentence of a domain type has all its fields."""
    (text,) = [line for line in section(API, "Domain types").split("\n\n") if f"`{name}` has" in line] or [
        line for line in section(API, "Domain types").splitlines() if line.startswith(f"| `{name}`")
    ]
    fields = set(getattr(domain, name).__annotations__) - {"op"}

    assert {field for field in fields if f"`{field}`" not in text} == set()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of the program with its full name."""
    pending: list[tuple[str, click.Command]] = [("muse", main)]
    while pending:
        name, command = pending.pop()
        if isinstance(command, click.Group):
            pending += [(f"{name} {sub}", child) for sub, child in command.commands.items()]
        else:
            yield name, command


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_described_with_every_option(name: str, command: click.Command) -> None:
    """A command has its section, which shows its arguments and all its options."""
    text = section(API, name) + "\n" + section(API, "Commands").split("\n### ")[0]
    missing = [
        spelling
        for parameter in command.params
        for spelling in (parameter.opts if isinstance(parameter, click.Option) else [(parameter.name or "").upper()])
        if spelling not in text
    ]

    assert missing == []


def test_every_section_on_a_command_is_of_a_command() -> None:
    """No command is described that does not exist."""
    assert {name for name in headings(API) if name.startswith("muse ")} == {name for name, _ in commands()}
