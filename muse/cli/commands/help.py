"""The command `help`: print a page of the documents."""

from __future__ import annotations

from pathlib import Path

import click

from muse.cli.output.failures import SystemFailed


@click.command(
    "help",
    short_help="Say what to do when something is damaged.",
    epilog="\b\nExample: the page about damage, in your pager.\n  muse op-log help recovery",
)
@click.argument("page", type=click.Choice(["recovery"]), required=False)
@click.pass_context
def help_command(context: click.Context, page: str | None) -> None:
    """Print PAGE of the documents; recovery says what to do about each finding of verify and each message.

    Without PAGE the commands are listed. `muse op-log COMMAND --help` explains one of them.
    """
    if page is None:
        click.echo(context.parent.get_help() if context.parent else "")
        return
    package = Path(__file__).resolve().parents[2]
    # Inside the package in a wheel, beside it in a checkout.
    places = (package / "_docs" / f"{page}.md", package.parent / "docs" / f"{page}.md")
    text = next((place.read_text("utf-8") for place in places if place.is_file()), None)
    if text is None:
        raise SystemFailed(f"no docs/{page}.md beside {package}: the installation is incomplete")
    click.echo_via_pager(text)
