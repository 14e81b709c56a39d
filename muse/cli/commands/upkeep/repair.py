"""The command `repair`: bring back what a damaged session has lost and can be had again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from muse.cli.engine import engine
from muse.cli.input.lines import LONGEST_LINE_BYTES
from muse.cli.options.consent import is_agreed, yes_option
from muse.cli.options.repository import git_target
from muse.cli.options.session import json_option, open_session, repo_option, session_argument
from muse.cli.output.failures import FOUND_DAMAGE, BadDataFound, WrongUsage, exit_with
from muse.cli.output.findings import MOST_LISTED, note_verdict, print_findings
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar

_LOG_NAME = "ops.jsonl"
_MAKE_ANEW = "append makes it of a copy of ops.jsonl, import of an archive, merge of the one in another repository"
_GZIP_BEGINS = b"\x1f\x8b"


@click.command(
    short_help="Bring back what can be had again.",
    epilog="\b\n"
    "Examples: say what can be done; take what is lost from a replica, from an export.\n"
    "  muse op-log repair demo\n"
    "  muse op-log repair demo --from /media/stick/project --yes\n"
    "  muse op-log repair demo --from demo.tar.gz --yes\n"
    "  muse op-log repair demo --from-git . --yes",
)
@session_argument
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, path_type=Path),
    metavar="REPO|FILE",
    help="What has the lost operations: another repository, an archive that export wrote, or a copy of ops.jsonl.",
)
@click.option(
    "--from-git",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="REPO",
    help="A git repository with its commits; a session that is gone is made again from them.",
)
@click.option("--from-session", metavar="ID", help="The session's id in that repository, if it differs.")
@yes_option
@json_option("one object: what was done or would be, and what verify finds then")
@repo_option
def repair(
    session: str,
    source: Path | None,
    from_git: Path | None,
    from_session: str | None,
    repo: Path,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Append again what SESSION has lost and can be had, and restore its checkpoint.json.

    Entries that a damaged line still holds whole are appended again; with --from or --from-git so are the lost
    operations that are there. checkpoint.json is restored from what the index has seen, if the file is not right, and
    the old file is kept under another name. No byte of the log is changed.

    It is said first what is to be done; it is done with --yes, or when you agree to it at a terminal. Ends with exit
    code 1 as long as anything is damaged.
    """
    if from_session and not (source and source.is_dir()):
        raise WrongUsage("--from-session names a session in another repository: give that with --from")
    if from_git:
        if source:
            raise WrongUsage("--from and --from-git: one after the other")
        _restore_what_is_gone(session, repo, from_git, yes=yes)
    with (
        _opened_to_repair(repo, session, source) as log,
        _commits(from_git, session) if from_git else _source(source, from_session or session, log) as other,
    ):
        with ProgressBar(f"checking {session}"):
            planned = done = log.repair(source=other, dry_run=True)
        if not as_json:
            _print_plan(planned)
        note(f"to be done: {_in_short(planned, is_done=False)}")
        is_done = planned.does_something and is_agreed(f"Repair {session}?", yes=yes)
        if is_done:
            with ProgressBar(f"repairing {session}"):
                done = log.repair(source=other)
            note(f"done: {_in_short(done, is_done=True)}")
            for what in done.not_repaired:
                if what not in planned.not_repaired:
                    note(f"left: {what}")
        with ProgressBar(f"verifying {session}", "bytes") as bar:
            report = log.verify(progress=bar)
    if as_json:
        print_json({**done.to_dict(), "applied": is_done, "verify": report.to_dict()})
    elif is_done or not planned.does_something:
        print_findings([each for each in report.findings if each.severity == "damage"])
    note_verdict(report)
    exit_with(0 if report.ok and is_done == planned.does_something else FOUND_DAMAGE)


def _opened_to_repair(repo: Path, session: str, source: Path | None) -> engine.OpLog:
    """The session's log; whatever was in it may be appended again, however long or far ahead of the clock."""
    if source and session not in engine.list_sessions(repo):
        raise WrongUsage(f"no session {session!r} in {repo}: {_MAKE_ANEW}")
    open_session(repo, session).close()
    return engine.OpLog(repo, session, max_line_bytes=LONGEST_LINE_BYTES, max_lamport_jump=None)


def _restore_what_is_gone(session: str, repo: Path, git: Path, *, yes: bool) -> None:
    """Make a session that is not there from its commits."""
    from muse.commit import restore_session

    if session in engine.list_sessions(repo):
        return
    target = git_target(git, git)
    commits = target.commits(session)
    if not commits:
        raise WrongUsage(f"no session {session!r} in {repo}, and no commit of it in {git}")
    what = f"{pluralize(len(commits), 'commit')} of {pluralize(commits[-1].cut.op_count, 'entry')}"
    if not is_agreed(f"Make {session} again from {what}?", yes=yes):
        exit_with(FOUND_DAMAGE)
    restore_session(repo, session, target)
    note(f"{session} was made again from {what}")


@contextmanager
def _commits(git: Path, session: str) -> Iterator[engine.OpLog]:
    """A log with the lines of all commits, in a temporary repository."""
    from muse.commit.history import write_lines

    with TemporaryDirectory(prefix="muse-repair-") as folder:
        lines = Path(folder, "lines")
        write_lines(git_target(git, git), session, lines)
        with _log_of_file(lines, Path(folder), session) as log:
            yield log


@contextmanager
def _source(source: Path | None, session: str, damaged: engine.OpLog) -> Iterator[engine.OpLog | None]:
    """The log that has what is lost, if one is named; of a file in a temporary repository."""
    if source is not None and (source / _LOG_NAME).is_file():
        source /= _LOG_NAME
    if source is None:
        yield None
    elif source.is_dir():
        with open_session(source, session) as log:
            _check_is_another(log.folder, damaged.folder)
            yield log
    else:
        _check_is_another(source, damaged.path)
        with TemporaryDirectory(prefix="muse-repair-") as folder, _log_of_file(source, Path(folder), session) as log:
            if not len(log):
                raise BadDataFound(f"{source}: holds no entry that can be read")
            yield log


def _check_is_another(source: Path, damaged: Path) -> None:
    if damaged.exists() and source.samefile(damaged):
        raise WrongUsage(f"{source} is what is to be repaired: name another replica, an export or a copy")


def _log_of_file(file: Path, repo: Path, session: str) -> engine.OpLog:
    """A session in an empty repository with what is in a file: an archive, or lines."""
    with file.open("rb") as source:
        if source.peek(2).startswith(_GZIP_BEGINS):
            try:
                return engine.OpLog(repo, engine.import_session(repo, source).session_id)
            except engine.ArchiveError as error:
                raise BadDataFound(f"{file}: {error}") from None
        log = engine.OpLog(repo, session)
        log.folder.mkdir(parents=True)
        with log.path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            # Else a last line without its newline would be taken for one that is still being written.
            copy.write(b"\n")
    return log


def _print_plan(planned: engine.RepairReport) -> None:
    rows = list(_rows(planned))
    listed = [row for _, alike in groupby(rows, itemgetter(0)) for row in islice(alike, MOST_LISTED)]
    print_table(("ACTION", "WHAT", "WHY"), listed)
    if further := len(rows) - len(listed):
        note(f"{pluralize(further, 'further row')} not shown: --json has all")


def _rows(planned: engine.RepairReport) -> Iterator[tuple[str, str, str]]:
    """What would be done, and what stays as it is."""
    pending = set(planned.pending_again)
    for op_ids, why in (
        (planned.found_in_damage, "a damaged line holds it whole"),
        (planned.taken, "the other log has it"),
    ):
        for op_id in op_ids:
            yield "append", op_id, f"{why}; committed, but pending again" if op_id in pending else why
    if planned.checkpoint is not None:
        yield "restore", "checkpoint.json", _what_it_covers(planned.checkpoint, is_last=not planned.appended)
    for what in planned.not_repaired:
        yield "leave", "-", what


def _what_it_covers(checkpoint: engine.RestoredCheckpoint, *, is_last: bool) -> str:
    if not is_last:
        return f"of snapshot {checkpoint.snapshot_id}, unless the file is right when the entries are there"
    less = ", less than it did: what it leaves out is pending again" if checkpoint.is_set_back else ""
    return f"of snapshot {checkpoint.snapshot_id}, covers {checkpoint.byte_offset:,} bytes{less}"


def _in_short(report: engine.RepairReport, *, is_done: bool) -> str:
    parts = [f"{pluralize(report.appended, 'entry')} appended again"] if report.appended else []
    if report.pending_again:
        parts.append(f"{len(report.pending_again):,} of them pending again, although a commit has them")
    if report.checkpoint is not None:
        parts.append("checkpoint.json restored")
        if is_done and report.checkpoint.kept_as:
            parts.append(f"what it was is kept as {report.checkpoint.kept_as}")
    short = "; ".join(parts) or "nothing"
    return f"{short}; {len(report.not_repaired):,} left as they are" if report.not_repaired else short
