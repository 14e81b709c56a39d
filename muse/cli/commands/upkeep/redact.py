"""The command `redact`: get a secret out of a session, and say where else the text still is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from muse.cli.engine import engine
from muse.cli.options.consent import by_option, is_agreed, yes_option
from muse.cli.options.moments import find_op
from muse.cli.options.repository import git_option, git_target, may_have_commits
from muse.cli.options.session import json_option, repo_of, session_log
from muse.cli.output.failures import FOUND_DAMAGE, exit_with
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar

_SHORT_ID = 12


@click.command(
    short_help="Overwrite what ops say, to get a secret out.",
    epilog="\b\n"
    "Examples: see what would be overwritten; overwrite it.\n"
    "  muse op-log redact demo 9b2c7d51 --why 'held a token'\n"
    "  muse op-log redact demo 9b2c7d51 --why 'held a token' --by ada --yes",
)
@session_log
@click.argument("op_id", metavar="OP_ID...", nargs=-1, required=True)
@click.option("--why", required=True, metavar="TEXT", help="The reason, without the secret; it stands in the log.")
@by_option("Who redacts; default: the name of the user.")
@git_option("The git repository in which commits may hold them; default: the one that .muse/ lies in.")
@yes_option
@json_option("one object: what was redacted or would be, and where else the text is")
def redact(
    log: engine.OpLog,
    op_id: tuple[str, ...],
    why: str,
    by: str,
    git: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Overwrite, in place, what the ops of SESSION say whose op_ids are, or begin with, OP_ID. It can't be had back.

    Of each op a marker is left that says who has redacted it, when and why. Everything else stays: who did it and when,
    its place, what depends on it, what is committed. Others may go on recording meanwhile. Replicas lose the text too
    when they merge this session, or replicate it. What else still has it is listed at the end.

    It is said first which ops these are; it is done with --yes, or when you agree to it at a terminal. A secret that
    was in a log is known: revoke it first.
    """
    entries = list({each["op_id"]: each for each in (find_op(log, text.lower()) for text in op_id)}.values())
    if not as_json:
        print_table(("OP_ID", "ACTOR", "DOMAIN", "MADE", "BYTES"), list(map(_row, entries)), right=("BYTES",))
    number = pluralize(len(entries), "op")
    is_done = is_agreed(f"Redact {number} as {by}: {why}?", yes=yes)
    done = None
    if is_done:
        with ProgressBar(f"redacting {log.session_id}"):
            done = log.redact(*(each["op_id"] for each in entries), by=by, why=why)
        note(f"redacted by {by}: {pluralize(len(done.redacted), 'op')}, {pluralize(done.lines, 'line')} overwritten")
        if done.already:
            note(f"{pluralize(len(done.already), 'op')} redacted before, or with nothing in it: nothing was done")
    elsewhere = _elsewhere(log, [each["op_id"] for each in entries], git)
    if as_json:
        said = done.to_dict() if done else {"by": by, "why": why}
        op_ids = [each["op_id"] for each in entries]
        print_json(
            {"session_id": log.session_id, "op_ids": op_ids, "applied": is_done, **said, "elsewhere": asdict(elsewhere)}
        )
    if is_done:
        _say(elsewhere)
    exit_with(0 if is_done else FOUND_DAMAGE)


def _row(entry: engine.OpEntry) -> tuple[str, ...]:
    # Not what it says: that is what nobody is to see.
    size = len(str(entry["domain_op"]).encode())
    return entry["op_id"], entry["actor_id"], entry["domain"], entry["created_at"][:19].replace("T", " "), f"{size:,}"


@dataclass
class _Elsewhere:
    """Where the text of some ops still is, as far as this repository tells."""

    commits: dict[str, str] = field(default_factory=dict)
    """The commit that holds an op, by op_id."""
    commits_unknown: str = ""
    """Why it is not known which commits hold them."""
    snapshot_id: str | None = None
    """The snapshot of the checkpoint, which covers at least one of them."""
    checkpoint_unknown: str = ""
    """Why it is not known what the checkpoint covers."""
    spaces: list[str] = field(default_factory=list)
    """The spaces in which the session is replicated."""


def _elsewhere(log: engine.OpLog, op_ids: Sequence[str], git: Path | None) -> _Elsewhere:
    from muse.commit.history import commits_with

    found, repo = _Elsewhere(), repo_of(log)
    if may_have_commits(git, repo):
        try:
            found.commits = commits_with(git_target(git, repo), log.session_id, op_ids)
        except (engine.MuseError, OSError) as error:
            found.commits_unknown = str(error)
    try:
        record = log.read_checkpoint()
    except engine.DamagedCheckpointError as error:
        record, found.checkpoint_unknown = None, str(error)
    covered = record.get("byte_offset", 0) if record else 0
    if record and any((place := log.locate(op_id)) and place[0] < covered for op_id in op_ids):
        found.snapshot_id = record["snapshot_id"]
    name = f"{engine.name_beside(log.folder.name)}.json"
    found.spaces = sorted(path.parent.name for path in (repo / ".muse" / "replicas").glob(f"*/{name}"))
    return found


def _say(elsewhere: _Elsewhere) -> None:
    note("The text may still be in these places:")
    for op_id, commit_id in elsewhere.commits.items():
        note(f"- commit {commit_id[:_SHORT_ID]}, and every clone that has it: {op_id}")
    if elsewhere.snapshot_id is not None and not elsewhere.commits:
        unknown = f" ({elsewhere.commits_unknown})" if elsewhere.commits_unknown else ""
        note(f"- snapshot {elsewhere.snapshot_id}, or one before it: the checkpoint covers it{unknown}")
    if elsewhere.checkpoint_unknown:
        note(f"- the snapshot of the checkpoint, if it covers one of them: {elsewhere.checkpoint_unknown}")
    for space in elsewhere.spaces:
        note(f"- the stream of space {space}: it keeps every message (docs/replication.md, Redactions)")
    note("- replicas that have not merged this session since, exports, reports and backups")
    note("- free blocks and snapshots of the file system, memory and caches of whoever has read it")
