"""The command `mcp`: serve the sessions to an agent, over the Model Context Protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from muse.cli.engine import engine
from muse.cli.options.completing import complete_sessions
from muse.cli.options.guard import guard_options
from muse.cli.options.repository import git_option
from muse.cli.options.session import repo_option
from muse.cli.output.failures import SystemFailed, WrongUsage
from muse.cli.output.printing import note


@click.command(
    short_help="Serve the sessions to an agent (MCP).",
    epilog="\b\n"
    "Examples: what a client starts, for one session and one agent; for an agent that only looks.\n"
    "  muse op-log mcp --session demo --actor ada\n"
    "  muse op-log mcp --read-only",
)
@click.option(
    "--session",
    "sessions",
    metavar="SESSION",
    multiple=True,
    shell_complete=complete_sessions,
    help="Serve this session alone, which need not exist yet. Repeatable. Default: all that exist.",
)
@click.option("--actor", metavar="NAME", help="Record everything under this name, whatever the agent says.")
@click.option("--read-only", is_flag=True, help="Offer no tool that records.")
@click.option("--allow-commit", is_flag=True, help="Offer the tool that commits to git.")
@git_option("The git repository for commits; default: the one that .muse/ lies in.")
@guard_options("refuse")
@repo_option
def mcp(
    sessions: tuple[str, ...],
    actor: str | None,
    git: Path | None,
    guard: engine.Guard | None,
    repo: Path,
    *,
    read_only: bool,
    allow_commit: bool,
) -> None:
    """Serve sessions to an agent over the Model Context Protocol, on standard input and output, until the input ends.

    An MCP client starts it. The agent can list sessions, query, follow causes, blame, find conflicts, wait for what is
    new, and record; to commit only with --allow-commit. Nothing can be deleted or changed. It needs the package mcp:
    pip install 'muse-op-log[mcp]'.
    """
    if read_only and allow_commit:
        raise WrongUsage("--read-only and --allow-commit exclude each other: a commit is written")
    if git is not None and not allow_commit:
        raise WrongUsage("--git is of use with --allow-commit only")
    if actor == "":
        raise WrongUsage("--actor: must not be empty")
    from muse.mcp.tools import Tools

    try:
        from muse.mcp.server import make_server
    except ImportError:
        raise WrongUsage("mcp is missing, or older than version 2: pip install 'muse-op-log[mcp]'") from None
    tools = Tools(repo, sessions=sessions, actor=actor, guard=guard, git=git)
    server = make_server(tools, may_record=not read_only, may_commit=allow_commit)
    if sys.stdin.isatty():
        note("waiting for an MCP client on standard input: configure one to start this command (Ctrl-D ends it)")
    try:
        server.run("stdio")
    except ExceptionGroup as errors:
        lost = errors.subgroup(OSError)
        if lost is None:
            raise
        raise SystemFailed(f"standard input or output is lost: {_first(lost)}") from None


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, ExceptionGroup):
        errors = errors.exceptions[0]
    return errors
