"""The commands of replication: `sync` keeps sessions the same on several hosts, `sync-status` says how they stand."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.engine import engine
from muse.cli.options.completing import complete_sessions
from muse.cli.options.guard import guard_options, note_would_refuse
from muse.cli.options.repository import git_option, git_target
from muse.cli.options.session import Seconds, json_option, repo_option
from muse.cli.output.failures import WrongUsage, sigterm_like_ctrl_c
from muse.cli.output.printing import cut_to_width, note, pluralize, print_json, print_table, shown
from muse.cli.output.streams import end_if_output_is_lost
from muse.cli.output.together import together

if TYPE_CHECKING:
    from muse.replicate import ReplicaStatus, Settings
    from muse.replicate.process.worker import Worker

_LOOK_SECONDS = 0.5
_NEW_SESSIONS_SECONDS = 2.0


_FILE = click.Path(exists=True, dir_okay=False)

_server_options = together(
    "where",
    dict,
    click.option("--space", metavar="NAME", help="Sessions of one space are in one stream; default: muse."),
    click.option("--creds", type=_FILE, metavar="FILE", help="A NATS credentials file."),
    click.option("--tls-ca", type=_FILE, metavar="FILE", help="The certificate of who signed the server's."),
    click.option("--tls-cert", type=_FILE, metavar="FILE", help="This host's certificate."),
    click.option("--tls-key", type=_FILE, metavar="FILE", help="The key of that certificate."),
    click.option(
        "--replicas",
        type=click.IntRange(1, 5),
        metavar="N",
        help="On how many nodes to keep the stream, if it has to be made; default: 3 if there are 3, else 1.",
    ),
)
"""Where and as whom; the command receives them as `where`."""


@click.command(
    short_help="Keep a session the same on several hosts.",
    epilog="\b\n"
    "Examples: keep a session up to date until Ctrl-C; exchange once what there is; try it out.\n"
    "  muse op-log sync demo nats://server:4222 --space studio\n"
    "  muse op-log sync demo nats://server:4222 --once --timeout 30\n"
    "  muse op-log sync demo nats://localhost:4222 --serve",
)
@click.argument("session", required=False, shell_complete=complete_sessions)
@click.argument("url", required=False)
@click.option("--all", "all_sessions", is_flag=True, help="Every session of the repository; then only URL is given.")
@click.option("--once", is_flag=True, help="End as soon as all there is now is exchanged.")
@click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --once: fail if it takes longer.",
)
@click.option(
    "--become-committer",
    "become",
    is_flag=True,
    help="Have the commits of SESSION made here from now on, and end.",
)
@git_option("With --become-committer: the git repository with the commits; default: the one that .muse/ lies in.")
@click.option("--serve", is_flag=True, help="Also run a server at URL, for trying it out: nats-server is needed.")
@guard_options("take over all the same, and count,")
@_server_options
@json_option("one object for each session, one a line: how it stands at the end, or whenever that changes")
@repo_option
def sync(
    session: str | None,
    url: str | None,
    where: dict[str, Any],
    repo: Path,
    *,
    all_sessions: bool,
    once: bool,
    timeout: float,
    serve: bool,
    become: bool,
    git: Path | None,
    guard: engine.Guard | None,
    as_json: bool,
) -> None:
    """Keep SESSION the same on all hosts that do so by the NATS server at URL, until Ctrl-C.

    Recording goes on meanwhile, whether the server is there or not. SESSION need not exist on this host yet.

    What is not given is taken from the environment (MUSE_NATS_URL, MUSE_NATS_SPACE, …), then from
    .muse/replicate.toml. Passwords are taken from there only. URL may be several, with commas, of one cluster.
    """
    from muse.replicate import become_committer, read_settings
    from muse.replicate.settings import has_password
    from muse.replicate.trial import trial_server

    if all_sessions and session is not None:
        if url is not None:
            raise WrongUsage("--all is for every session: give the URL only")
        session, url = None, session
    if session is None and not all_sessions:
        raise WrongUsage("name a SESSION, or give --all")
    if become and session is None:
        raise WrongUsage("--become-committer is about one SESSION")
    if url is not None and has_password(url):
        raise WrongUsage("a password in a command line can be seen by others: put it into .muse/replicate.toml")
    settings = read_settings(repo, {**where, "url": url})
    with sigterm_like_ctrl_c(), ExitStack() as stack:
        if serve:
            stack.enter_context(trial_server(settings.urls[0], repo / ".muse" / "replicas" / "server"))
        if become and session is not None:
            made_anew = become_committer(repo, session, settings, git_target(git, repo), timeout=timeout)
            note(f"commits of {session!r} are made here from now on" + (": its log was made anew" if made_anew else ""))
            return
        running = _Running(stack, repo, settings, session, guard, as_json)
        running.start_new()
        if once:
            running.wait(timeout)
            return
        note(f"{running.what()}: Ctrl-C ends it")
        while True:
            time.sleep(_LOOK_SECONDS)
            running.tell()
            running.start_new()


@dataclass
class _Running:
    """The replicas that a command runs."""

    stack: ExitStack
    repo: Path
    settings: Settings
    session: str | None
    """None for every session of the repository."""
    guard: engine.Guard | None
    as_json: bool
    _replicas: dict[str, Worker] = field(default_factory=dict, init=False)
    _told: str = field(default="", init=False)
    _looked_at: float = field(default=0.0, init=False)

    def start_new(self) -> None:
        """Start those that are not there yet: with --all, sessions may have been made since."""
        from muse.replicate.process.worker import Worker

        if self._replicas and (self.session is not None or time.monotonic() < self._looked_at):
            return
        self._looked_at = time.monotonic() + _NEW_SESSIONS_SECONDS
        for session in engine.list_sessions(self.repo) if self.session is None else [self.session]:
            if session not in self._replicas:
                made = Worker(self.repo, session, self.settings, guard=self.guard)
                self._replicas[session] = self.stack.enter_context(made)

    def what(self) -> str:
        """Which sessions, and where."""
        sessions = pluralize(len(self._replicas), "session") if self.session is None else repr(self.session)
        from muse.replicate.settings import shown as without_password

        return shown(f"syncing {sessions} by {', '.join(map(without_password, self.settings.urls))}")

    def wait(self, timeout: float) -> None:
        """Exchange what there is, and say so."""
        deadline = time.monotonic() + timeout
        for replica in self._replicas.values():
            replica.wait_synced(max(deadline - time.monotonic(), 0.1))
        refused = sum(replica.status().refused for replica in self._replicas.values())
        note_would_refuse(sum(replica.status().would_refuse for replica in self._replicas.values()))
        if self.as_json:
            self._print()
        note(f"{pluralize(len(self._replicas), 'session')} synced" + (f", {refused} refused" if refused else ""))

    def _print(self) -> None:
        print_json(*({"session": name, **asdict(each.status())} for name, each in self._replicas.items()))

    def tell(self) -> None:
        """One line of status, in place on a terminal; otherwise only when it is another."""
        states = [replica.status() for replica in self._replicas.values()]
        for replica, state in zip(self._replicas.values(), states, strict=True):
            if not state.is_running:
                # It raises why.
                replica.wait_synced(0.1)
        line = shown(_one_line(states))
        if self.as_json and line != self._told:
            self._print()
            end_if_output_is_lost()
        if sys.stderr.isatty():
            # A line that is too long would go on in the next one, and never be in its place again.
            room = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            click.echo(f"\r\x1b[K{cut_to_width(line, room)}", err=True, nl=False)
        elif line != self._told and not self.as_json:
            note(line)
        self._told = line


def _one_line(states: list[ReplicaStatus]) -> str:
    connected = sum(state.is_connected for state in states)
    caught_up = sum(state.is_caught_up for state in states)
    to_send, to_receive = sum(each.to_send_bytes for each in states), sum(each.to_receive for each in states)
    refused, rewinds = sum(each.refused for each in states), sum(each.rewinds for each in states)
    parts = [
        f"connected {connected}/{len(states)}",
        f"caught up {caught_up}/{len(states)}",
        f"{to_send:,} bytes to send",
        f"{to_receive:,} messages to receive",
    ]
    parts += [f"{refused} refused"] if refused else []
    parts += [f"{rewinds} rewinds"] if rewinds else []
    parts += sorted({each.last_error for each in states if each.last_error})[:1]
    return ", ".join(parts)


@click.command(
    "sync-status",
    short_help="Say how the replicated sessions stand.",
    epilog="\b\nExample: which sessions are replicated, and by whom.\n  muse op-log sync-status",
)
@json_option("one object for each session, one a line")
@repo_option
def sync_status(repo: Path, *, as_json: bool) -> None:
    """List the sessions of the repository that are replicated, or were: by which process, and how they stand.

    What a process has told last is at most a second old; "-" if none runs.
    """
    from muse.replicate.bookkeeping.folder import list_replicas

    found = list_replicas(repo)
    if as_json:
        print_json(*found)
        return
    rows = (
        (
            each["session"],
            each["space"],
            each["by"] or "-",
            _standing(each["status"]) if each["by"] else "-",
            f"{each['to_send_bytes']:,}",
            str(each["status"].get("refused", "-")),
            each["committer"] or "-",
        )
        for each in found
    )
    print_table(("SESSION", "SPACE", "REPLICATED BY", "STATE", "BYTES TO SEND", "REFUSED", "COMMITTER"), rows)
    note(pluralize(len(found), "session"))


def _standing(status: dict[str, Any]) -> str:
    if not status.get("is_connected"):
        return f"not connected: {status.get('last_error') or 'starting'}"
    return "caught up" if status.get("is_caught_up") else "catching up"
