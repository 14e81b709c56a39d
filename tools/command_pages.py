"""The reference of the commands, written from the commands themselves: their help, options and examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from textwrap import dedent

import click

from muse.cli import main

_HERE = "::: commands"


def with_commands(markdown: str) -> str:
    """A page with a section for each command in place of the line `::: commands`."""
    return markdown.replace(_HERE, all_commands()) if _HERE in markdown else markdown


def all_commands() -> str:
    """The sections of all commands, in Markdown: the group first, its commands in the order of the help."""
    return "\n".join(line for context in contexts(main, None) for line in _section(context))


def contexts(command: click.Command, parent: click.Context | None) -> Iterator[click.Context]:
    """A command and those below it, each in the context that its help is shown in."""
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
        if meaning:  # an argument has none: the help text tells of it
            yield f"| `{spelling}` | {meaning} |"
    yield ""


def _epilog(text: str) -> Iterator[str]:
    """The paragraphs of an epilog: what they say as prose, what they show as code."""
    for paragraph in inspect.cleandoc(text).replace("\b\n", "").split("\n\n"):
        said, _, shown = paragraph.partition("\n")
        if said:
            yield f"{said}\n"
        if shown:
            language = "sh" if said.startswith("Example") else "text"
            yield f"```{language}\n{dedent(shown)}\n```\n"
