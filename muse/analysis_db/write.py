"""Write a session into a database: the one pass over its entries, and the row that says what was exported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muse.analysis_db.lines import LineWalk
from muse.analysis_db.new_file import new_database
from muse.analysis_db.tables import Rows, add_entry, create_indexes_and_views, create_tables
from muse.core.op_log import Cut, DamagedCheckpointError, OpLog, OpLogCheckpoint

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class DatabaseSummary:
    """What a database holds."""

    session_id: str
    op_count: int
    """Entries, one row each."""
    byte_offset: int
    """How far the log was read: the byte offset of the cut."""
    child_ops: int
    """Operations that are nested in others."""
    parents: int
    """Causal links."""
    passed_over: dict[str, int]
    """How many lines gave no entry, by what `verify` calls them; blank lines are not counted."""
    pending: int | None
    """Entries that arrived after the checkpoint; None if the checkpoint can't be used."""
    problem: str | None
    """What is wrong with the checkpoint, and what to do; None if it can be used, or there is none."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return asdict(self)


def write_database(
    log: OpLog, path: Path, *, replace: bool = False, progress: Callable[[int, int], None] | None = None
) -> DatabaseSummary:
    """Write what has arrived by now into a new SQLite database. Writers may go on meanwhile.

    The database takes the name `path` when all of it is written. If that fails, nothing is left.

    Args:
        log: the session; it is only read.
        path: the file to write.
        replace: whether a regular file of that name may be replaced.
        progress: called with (bytes of the log read, bytes in all).

    Raises:
        FileExistsError: there is something at `path` that must stay.
        LogReplacedError: the log was altered meanwhile.
        OSError: it could not be read or written, or the journal of an older database lies beside `path`.
    """
    checkpoint, problem = _checkpoint_of(log)
    # After the checkpoint was read, so that the cut holds all that it covers.
    cut = log.cut()
    with new_database(path, replace=replace) as db:
        create_tables(db)
        rows = Rows(db)
        with closing(LineWalk(log, cut, lambda *line: rows.add("passed_over", list(line)))) as walk:
            for arrival, entry in enumerate(islice(log, cut.op_count), start=1):
                add_entry(rows, arrival, entry, walk.place_of(entry))
                if rows.flush_if_large() and progress:
                    progress(walk.at, cut.byte_offset)
            walk.pass_over_the_rest()
        rows.flush()
        if progress:
            progress(cut.byte_offset, cut.byte_offset)
        create_indexes_and_views(db)
        return _finish(db, cut, checkpoint, problem)


def _checkpoint_of(log: OpLog) -> tuple[OpLogCheckpoint | None, str | None]:
    try:
        return log.read_checkpoint(), None
    except DamagedCheckpointError as error:
        return None, str(error)


def _finish(db: Database, cut: Cut, checkpoint: OpLogCheckpoint | None, problem: str | None) -> DatabaseSummary:
    """Write the row of `session`; what the database holds then."""
    lines = db.query("select reason, count(*) as lines from passed_over group by reason order by reason")
    passed_over = {row["reason"]: row["lines"] for row in lines}
    pending_from = None if problem else _pending_from(db, cut, checkpoint)
    db.table("session").insert(
        {
            "session_id": cut.session_id,
            "exported_at": datetime.now(UTC).isoformat(),
            "op_count": cut.op_count,
            "byte_offset": cut.byte_offset,
            "passed_over_lines": sum(passed_over.values()),
            "snapshot_id": checkpoint and checkpoint["snapshot_id"],
            "checkpoint_op_count": checkpoint and checkpoint["op_count"],
            "checkpoint_created_at": checkpoint and checkpoint["created_at"],
            "checkpoint_problem": problem,
            "pending_from_byte": pending_from,
        }
    )
    return DatabaseSummary(
        session_id=cut.session_id,
        op_count=cut.op_count,
        byte_offset=cut.byte_offset,
        child_ops=db.table("child_op").count,
        parents=db.table("parent").count,
        passed_over=passed_over,
        pending=None if problem else db.view("pending").count,
        problem=problem,
    )


def _pending_from(db: Database, cut: Cut, checkpoint: OpLogCheckpoint | None) -> int:
    """The byte offset from which entries are pending. A checkpoint of an early version says their number only."""
    if checkpoint is None:
        return 0
    if "byte_offset" in checkpoint:
        return checkpoint["byte_offset"]
    found = db.execute("select byte_offset from entry where arrival = ?", [checkpoint["op_count"] + 1]).fetchone()
    return cut.byte_offset if found is None else int(found[0])
