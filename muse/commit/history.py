"""All commits of a session at once: held against its log, and a log made from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from muse.commit.batch import EMPTY_DIGEST, CommitHistory, Committed, carry_on
from muse.commit.changes import decoded, differing_lines, lines_in_log
from muse.commit.errors import CommitDivergedError
from muse.commit.protocol import prepare
from muse.core.op_log import Cut, InvalidCutError, OpLog, export_session, import_session, is_redacted


@dataclass
class CommitReport:
    """What was found when the commits of a session were held against its log."""

    session_id: str
    """The session."""
    commits: int = 0
    """How many there are."""
    committed: int = 0
    """How many operations are in them."""
    pending: int = 0
    """How many operations arrived since and are in none."""
    redacted: int = 0
    """How many of the committed operations were redacted in the log since: the commits still have what they said."""
    problems: list[str] = field(default_factory=list)
    """What is wrong, each with the commit or the place; none if each operation is in exactly one commit or pending."""


def verify_commits(log: OpLog, target: CommitHistory) -> CommitReport:
    """Check that the commits are the beginning of the log, line by line, and that none overlap. Changes nothing."""
    report = CommitReport(log.session_id)
    known: set[str] = set()
    end = Cut(log.session_id, 0, 0)
    try:
        for each, lines in read_commits(target, log.session_id):
            new = {entry["op_id"] for line in BytesIO(lines) if (entry := decoded(line))} - known
            known |= new
            end = each.cut
            report.commits += 1
            report.committed += each.ops
            if len(new) != each.ops:
                report.problems.append(f"commit {each.commit_id}: counts {each.ops} operations and has {len(new)}")
            differing = differing_lines(lines_in_log(log, each), lines)
            for at, op_id in differing.changed.items():
                if is_redacted(log.get(op_id)):
                    report.redacted += 1
                    continue
                report.problems.append(f"byte {each.start + at}: {op_id} is not there any more as it was committed")
            for at in differing.foreign:
                report.problems.append(f"byte {each.start + at}: another operation than was committed")
        arrived = log.read_slice(end, log.cut())[1]
        report.pending = sum(entry["op_id"] not in known for entry in arrived)
    except (CommitDivergedError, InvalidCutError) as error:
        report.problems.append(str(error))
    return report


def commits_with(target: CommitHistory, session_id: str, op_ids: Collection[str]) -> dict[str, str]:
    """The ids of the commits that hold some operations, by op_id; not if they were redacted before."""
    found: dict[str, str] = {}
    commits = target.commits(session_id)
    for each, lines in zip(commits, target.lines(commits), strict=True):
        for line in BytesIO(lines):
            if (entry := decoded(line)) and entry["op_id"] in op_ids and not is_redacted(entry):
                found.setdefault(entry["op_id"], each.commit_id)
    return found


def read_commits(target: CommitHistory, session_id: str) -> Iterator[tuple[Committed, bytes]]:
    """The commits with their lines, the first one first; a `CommitDivergedError` if they are not one whole history."""
    parent: Committed | None = None
    commits = target.commits(session_id)
    for each, lines in zip(commits, target.lines(commits), strict=True):
        is_next = parent is None or (each.parent, each.start) == (parent.commit_id, parent.cut.byte_offset)
        if not is_next or each.start + len(lines) != each.cut.byte_offset:
            raise CommitDivergedError(
                f"commit {each.commit_id} does not begin where its parent ended: history is missing"
            )
        # Where the first one was adopted, nobody knows the digest of what is below.
        is_known = parent is not None or not each.start
        if is_known and carry_on(parent.digest if parent else EMPTY_DIGEST, lines) != each.digest:
            raise CommitDivergedError(f"commit {each.commit_id}: its lines do not match its digest: it was altered")
        yield each, lines
        parent = each


def write_lines(target: CommitHistory, session_id: str, path: Path) -> int:
    """Write the lines of all commits to a new file; how many bytes they are."""
    with path.open("xb") as file:
        return sum(file.write(lines) for _, lines in read_commits(target, session_id))


def restore_session(repo_root: Path, session_id: str, target: CommitHistory) -> int:
    """Make a session that is not there from its commits, with its checkpoint; how many operations it has.

    Raises:
        SessionExistsError: there is such a session.
        CommitDivergedError: it has no commits, or they are not a whole history from the first line on.
    """
    with TemporaryDirectory(prefix="muse-restore-") as folder, OpLog(folder, session_id) as log:
        log.folder.mkdir(parents=True)
        if not write_lines(target, session_id, log.path):
            raise CommitDivergedError(f"there is no commit of session {session_id!r}")
        if target.commits(session_id)[0].start:
            raise CommitDivergedError(f"the commits of session {session_id!r} do not begin at its first line")
        prepare(log, target)
        ops = len(log)
        archive = Path(folder) / "session"
        with archive.open("wb") as file:
            export_session(log, file)
        with archive.open("rb") as file:
            import_session(repo_root, file)
    return ops
