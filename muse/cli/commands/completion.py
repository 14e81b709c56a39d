"""The command `completion`: print the script with which a shell completes commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PROGRAM = "muse"
# The environment variable that click checks for a program of this name.
_VARIABLE = "_MUSE_COMPLETE"


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
