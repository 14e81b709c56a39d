"""The commands about the program: `help` prints a page of the documents, `completion` the script for a shell."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from muse.cli.output.failures import SystemFailed, WrongUsage

_PAGE = "recovery.md"
_SECTION = re.compile(r"^### (.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_PROGRAM = "muse"
# The environment variable that click checks for a program of this name.
_VARIABLE = "_MUSE_COMPLETE"


@click.command(
    "help",
    short_help="Say what to do when something is damaged.",
    epilog="\b\n"
    "Examples: the page about damage, in your pager; what it says of one kind of finding.\n"
    "  muse op-log help recovery\n"
    "  muse op-log help operation-lost",
)
@click.argument("topic", required=False)
@click.pass_context
def help_command(context: click.Context, topic: str | None) -> None:
    """Print what to do about TOPIC: recovery is the page on all findings of verify and all messages, the kind of a
    finding, such as operation-lost, what that page says of it.

    Without TOPIC the commands are listed. `muse op-log COMMAND --help` explains one of them.
    """
    if topic is None:
        click.echo(context.parent.get_help() if context.parent else "")
        return
    package = Path(__file__).resolve().parents[2]
    # Inside the package in a wheel, beside it in a checkout.
    places = (package / "_docs" / _PAGE, package.parent / "docs" / _PAGE)
    text = next((place.read_text("utf-8") for place in places if place.is_file()), None)
    if text is None:
        raise SystemFailed(f"no docs/{_PAGE} beside {package}: the installation is incomplete")
    if topic != "recovery":
        sections = {section.partition("\n")[0]: section for section in _SECTION.findall(text)}
        if topic not in sections:
            raise WrongUsage(f"nothing is said of {topic!r}, only of recovery, {', '.join(sections)}")
        text = f"### {sections[topic]}"
    click.echo_via_pager(text)


@click.command(
    short_help="Print the completion script of a shell.",
    epilog="\b\nExamples: for bash, in ~/.bashrc; for zsh, in ~/.zshrc; for fish, once.\n"
    '  eval "$(muse op-log completion bash)"\n'
    '  eval "$(muse op-log completion zsh)"\n'
    "  muse op-log completion fish > ~/.config/fish/completions/muse.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes the arguments of `muse` when TAB is pressed.

    It completes commands, options, the repository's sessions, and a session's actors and domains. A name that the
    shell would have to quote is not offered.
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(script(context.find_root().command, {}, _PROGRAM, _VARIABLE).source())
