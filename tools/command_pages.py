"""Writes the reference of the commands from their help texts, options and examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from textwrap import dedent

import click

from muse.cli import main

_HERE = "::: commands"


def with_commands(markdown: str) -> str:
    """Replace the line `::: commands` of a page by a section for each command."""
    return markdown.replace(_HERE, all_commands()) if _HERE in markdown else markdown


def all_commands() -> str:
    """The sections of all commands as Markdown: first the group, then its commands in the order of --help."""
    return "\n".join(line for context in contexts(main, None) for line in _section(context))


def contexts(command: click.Command, parent: click.Context | None) -> Iterator[click.Context]:
    """Yield the context of a command and of each command below it, as --help would use them."""
    name = command.name if parent else "muse"
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    if parent is not None:
        yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from contexts(command.commands[name], context)


def _section(context: click.Context) -> Iterator[str]:
    path = context.command_path
    yield f"## {path.removeprefix('muse op-log ')} {{ #{path.replace(' ', '-')} }}\n"
    yield f"```text\n{path} {' '.join(context.command.collect_usage_pieces(context))}\n```\n"
    yield inspect.cleandoc(context.command.help or "") + "\n"
    yield from _options(context)
    yield from _epilog(context.command.epilog or "")


def _options(context: click.Context) -> Iterator[str]:
    yield "| option | meaning |\n|---|---|"
    for parameter in context.command.get_params(context):
        spelling, meaning = parameter.get_help_record(context) or ("", "")
        if meaning:  # arguments have none; the help text describes them
            yield f"| `{spelling}` | {meaning} |"
    yield ""


def _epilog(text: str) -> Iterator[str]:
    """The paragraphs of an epilog: the first line as text, the lines below as a code block."""
    for paragraph in inspect.cleandoc(text).replace("\b\n", "").split("\n\n"):
        said, _, shown = paragraph.partition("\n")
        if said:
            yield f"{said}\n"
        if shown:
            language = "sh" if said.startswith("Example") else "text"
            yield f"```{language}\n{dedent(shown)}\n```\n"
