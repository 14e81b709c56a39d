"""The op log of one live session: the public face of the engine, which hands every call on to the rooms below.

    from muse.core.op_log import OpLog

    with OpLog(repo_root, "session-1") as log:
        log.record("agent-a", "code", {"op": "insert", "address": "a.py", ...})
        log.commit(GitTarget("."))              # from muse.commit, or a target of your own

docs/op-log.md explains the concepts, the docstring of `muse.core` the path of an entry.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from muse.core.batch import Batch, Refuse, raise_it
from muse.core.checkpoint.covered import remember_record
from muse.core.checkpoint.cut import Checkpoints, Cut
from muse.core.checkpoint.moments import between, cut_at
from muse.core.checkpoint.record import OpLogCheckpoint, check_is_committer
from muse.core.clock import LamportClock
from muse.core.entry.codec import encode_entry
from muse.core.entry.filter import EntryFilters, Filter, wanted_by
from muse.core.entry.guard import guarded
from muse.core.entry.marker import Redaction
from muse.core.entry.model import OpEntry, make_op_entry, op_id_bytes, op_id_of
from muse.core.entry.row import EntryRow, entry_row
from muse.core.entry.validation import check_name, check_number
from muse.core.errors import (
    AppendError,
    ArchiveError,
    CheckpointBackwardsError,
    CheckpointError,
    ClosedLogError,
    DamagedAcceptanceError,
    DamagedCheckpointError,
    HandleInUseError,
    InvalidArgumentError,
    InvalidCutError,
    InvalidEntryError,
    InvalidSessionIdError,
    LimitExceededError,
    LockTimeoutError,
    LogReplacedError,
    MuseError,
    NotCommitterError,
    OpIdConflictError,
    RefusedByGuardError,
    SessionExistsError,
    SyncError,
    UnknownOpError,
)
from muse.core.follow.feed import Feed
from muse.core.follow.follower import AsyncFollower, Follower
from muse.core.handle_lock import HandleLock, Turn
from muse.core.history.causal import CausalEntry, CausalHistory
from muse.core.history.contested import Contested
from muse.core.index.catch_up import CatchUp
from muse.core.index.query import count, damaged_lines, op_ids_beginning, totals
from muse.core.index.rebuild import Progress
from muse.core.maintenance.archive import ArchivedFile, ArchiveManifest, export_session, import_session
from muse.core.maintenance.findings import Finding, LostOperation, VerifyReport
from muse.core.maintenance.fork import end_of_shared_past, fork
from muse.core.maintenance.redact import RedactReport, finish, redact, redact_by
from muse.core.maintenance.repair import RepairReport, lines_to_append
from muse.core.maintenance.summary import SessionSummary, describe_sessions
from muse.core.maintenance.verify import verify
from muse.core.options import (
    DEFAULT_MAX_APPEND_BYTES,
    DEFAULT_MAX_LAMPORT_JUMP,
    MAX_LAMPORT_TS,
    MAX_SNAPSHOT_ID_BYTES,
    MAX_WORKERS,
    Options,
)
from muse.core.paging import SMALL_PAGE, WHOLE_PAGE, Pager, PageSize
from muse.core.storage.accepted import add_accepted
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries, read_lines, read_placed_lines
from muse.core.storage.session_dir import LOG_NAME, list_sessions, session_folder
from muse.core.writer import Writer
from muse.domain import StructuredDelta, inverse

if TYPE_CHECKING:
    from muse.commit import CommitTarget, Committed
    from muse.replicate import AsyncReplica, Replica, Settings

# Not public names of the log: the commands and the statistics use them, and import nothing else of the engine.
from muse.core.entry.codec import decode_line as decode_line, parse_object as parse_object  # isort: skip
from muse.core.entry.codec import same_operation as same_operation, same_value_text as same_value_text  # isort: skip
from muse.core.entry.guard import Guard as Guard, count_refused as count_refused  # isort: skip
from muse.core.entry.marker import is_redacted as is_redacted  # isort: skip
from muse.core.entry.model import kind_of as kind_of, parse_time as parse_time  # isort: skip
from muse.core.checkpoint.record import RestoredCheckpoint as RestoredCheckpoint  # isort: skip
from muse.core.collapse import collapse as collapse  # isort: skip
from muse.core.maintenance.findings import ACCEPTABLE as ACCEPTABLE  # isort: skip
from muse.core.maintenance.summary import ops_per_minute as ops_per_minute  # isort: skip
from muse.core.options import MAX_LINE_BYTES as MAX_LINE_BYTES  # isort: skip
from muse.core.storage.durable import read_small_file as read_small_file, whole_file as whole_file  # isort: skip
from muse.core.storage.redactions import read_redacted as read_redacted, state_of as state_of  # isort: skip
from muse.core.storage.session_dir import encode_session_id as encode_session_id  # isort: skip
from muse.core.storage.session_dir import name_beside as name_beside  # isort: skip

__all__ = [
    "AppendError",
    "ArchiveError",
    "ArchiveManifest",
    "ArchivedFile",
    "AsyncFollower",
    "CausalEntry",
    "CausalHistory",
    "CheckpointBackwardsError",
    "CheckpointError",
    "ClosedLogError",
    "Contested",
    "Cut",
    "DamagedAcceptanceError",
    "DamagedCheckpointError",
    "EntryFilters",
    "EntryRow",
    "Finding",
    "Follower",
    "HandleInUseError",
    "InvalidArgumentError",
    "InvalidCutError",
    "InvalidEntryError",
    "InvalidSessionIdError",
    "LimitExceededError",
    "LockTimeoutError",
    "LogReplacedError",
    "LostOperation",
    "MuseError",
    "NotCommitterError",
    "OpEntry",
    "OpIdConflictError",
    "OpLog",
    "OpLogCheckpoint",
    "Options",
    "RedactReport",
    "RefusedByGuardError",
    "RepairReport",
    "SessionExistsError",
    "SessionSummary",
    "SyncError",
    "UnknownOpError",
    "VerifyReport",
    "describe_sessions",
    "export_session",
    "fork_session",
    "import_session",
    "list_sessions",
    "make_op_entry",
    "op_id_of",
]

_log = logging.getLogger(__name__)


class OpLog:
    """One handle on one session's log.

    Opening creates nothing on disk; the first append creates the folder and the file. Threads may share a handle, and
    any number of handles, in any number of processes, may work on one session. After a fork parent and child both go
    on with theirs. Close it, or use it in a `with` statement; one that is dropped is closed, with a `ResourceWarning`.

    Entries are read in arrival order, each once, exactly as they were appended. Every method that reads first catches
    up with what other processes have appended.

    Beside what its own text names, a method raises these where they apply:

    - `ClosedLogError`: the handle is closed; every method but `close` and `exists`.
    - `LogReplacedError`: `ops.jsonl` was deleted, replaced or cut short while the handle had it open.
    - `OSError`: the system can't read the file.
    - `InvalidArgumentError`: an argument is of the wrong type or out of range, or the log has no entry `since`.
    - `InvalidCutError`: `upto` or `since` is not a cut of this log.
    - `DamagedCheckpointError`: the checkpoint's record is asked for, and is damaged, gone, another session's, or does
      not fit this log; `muse op-log help recovery` says what to do.
    """

    def __init__(
        self,
        repo_root: str | os.PathLike[str],
        session_id: str,
        *,
        durability: Literal["os", "fsync"] = "os",
        max_line_bytes: int = DEFAULT_MAX_APPEND_BYTES,
        max_lamport_jump: int | None = DEFAULT_MAX_LAMPORT_JUMP,
        options: Options | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Open the log of `session_id` in the repository at `repo_root`.

        Args:
            repo_root: the folder that holds `.muse/`.
            session_id: any non-empty text; docs/format.md says how it becomes a folder name.
            durability: "os": an acknowledged entry survives the death of the process; "fsync": power loss too, at
                the cost of a disk flush for each append or batch.
            max_line_bytes: longest line to append, newline included: 16 MiB, at most 64 MiB. Lines of up to 64 MiB
                are read, whatever this says.
            max_lamport_jump: how far above every timestamp so far one may lie that is appended or merged: 2^51. A clock
                gone wrong would leave no timestamps for later entries. None takes all.
            options: what can be tuned, each with its price; None for the usual.
            guard: called with each new entry of `append`, `append_many` and `record` before it is checked; `record`
                asks it before there is a timestamp: `lamport_ts` is 0. It returns the entry or a changed copy with the
                same op_id, which is what is written, or raises `RefusedByGuardError`. If it raises, whatever it is,
                nothing is written, of a batch too. It may use the log. `muse.guards` has two.

        Raises:
            InvalidSessionIdError: the id can't be a folder, or its folder leads out of `op_log/`.
            InvalidArgumentError: `durability`, `max_line_bytes` or `max_lamport_jump` is not one of these.
        """
        if durability not in ("os", "fsync"):
            raise InvalidArgumentError(f"durability: must be 'os' or 'fsync', not {durability!r}")
        check_number("max_line_bytes", max_line_bytes, lowest=1, highest=MAX_LINE_BYTES)
        max_lamport_jump = MAX_LAMPORT_TS if max_lamport_jump is None else max_lamport_jump
        check_number("max_lamport_jump", max_lamport_jump, lowest=1, highest=MAX_LAMPORT_TS)
        self.session_id = session_id
        """The id, as passed."""
        self.durability = durability
        """What is promised of an acknowledged entry, as passed: "os" or "fsync"."""
        self.folder = session_folder(Path(repo_root).absolute(), session_id)
        """The session's folder, a `Path`."""
        self.path = self.folder / LOG_NAME
        """The log's file in it, `ops.jsonl`, a `Path`."""
        self.would_refuse = 0
        """How many entries that this handle took over from other replicas, unchanged, its guard would have refused."""
        self._guard = guard
        self._max_line_bytes = max_line_bytes
        self._for_replica = dict[str, Any](durability=durability, max_line_bytes=max_line_bytes, options=options)
        self._file = LogFile(self.path, durable_names=durability == "fsync")
        self._clock = LamportClock(max_lamport_jump)
        self._catch_up = CatchUp(
            self.folder,
            self._file,
            self._clock.observe,
            partial(remember_record, self._file, session_id),
            options,
            partial(finish, self._file, session_id),
        )
        self._checkpoints = Checkpoints(self._catch_up, self._file, session_id)
        self._lock = HandleLock(self.path, self._catch_up)
        self._pager = Pager(self._lock, self._catch_up, self._file)
        self._writer = Writer(self._file, self._catch_up, self._clock, sync_each=durability == "fsync")

    def close(self) -> None:
        """Close file and index. Closing twice is fine; using the log afterwards is a `ClosedLogError`."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """For an event loop. To open a log reads nothing; what is called on it in the loop blocks the loop."""
        return self

    async def __aexit__(self, _kind: object, _error: object, _trace: object) -> None:
        """Close it in a thread: that may have to wait for a thread that works with the handle."""
        import asyncio  # noqa: PLC0415 - to load it takes a third as long as all of the engine

        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        return f"OpLog({str(self.path)!r}, durability={self.durability!r})"

    def exists(self) -> bool:
        """Whether `ops.jsonl` is there."""
        return self.path.exists()

    def next_lamport_ts(self) -> int:
        """A timestamp above all in the log, other processes' too, and above all this handle gave out.

        A `LimitExceededError` if the log holds the largest there is.
        """
        with Turn(self._lock):
            self._catch_up.catch_up()
            return self._clock.tick()

    def append(self, entry: OpEntry) -> bool:
        """Append one entry with one write; when this returns, it is there. The clock moves to at least its timestamp.

        Args:
            entry: a dict with the nine fields of an `OpEntry`; `make_op_entry` makes one.

        Returns:
            True if it was added, False if the log already held it with the same content.

        Raises:
            InvalidEntryError: a field is wrong, or JSON can't carry a value exactly; the message names the place,
                and nothing was written.
            RefusedByGuardError: the log has a guard, and it refuses the entry.
            LimitExceededError: longer, deeper or later than the limits allow.
            OpIdConflictError: its op_id is there with other content, perhaps written by another process at the same
                moment: then this entry stands after it, and does not count.
            AppendError: the system refused the write; the entry is not acknowledged. To append it again is safe.
            SyncError: written, but the flush failed; see `durability`.
        """
        if self._guard is not None:
            entry = guarded(self._guard, entry)
        line = encode_entry(entry, self._max_line_bytes)
        with Turn(self._lock):
            try:
                return self._writer.append_entry(entry, line)
            except MuseError as error:
                error.entries = (entry,)
                raise

    def append_many(self, entries: Iterable[OpEntry]) -> int:
        """Append a batch with one write and one index transaction; raises what `append` raises.

        All `entries` are checked first, as by `append`: if one is refused, none is written. After an `AppendError` some
        whole lines of the batch may be in the log, unacknowledged: appending the same entries again is safe.

        Returns:
            How many were added; entries that the log already held are passed over.
        """
        guard = self._guard
        entries = list(entries) if guard is None else [guarded(guard, entry) for entry in entries]
        batch = Batch.of_entries(entries, self._max_line_bytes)
        with Turn(self._lock):
            try:
                return self._writer.append(batch)
            except MuseError as error:
                error.entries = tuple(entries)
                raise

    def record(
        self,
        actor_id: str,
        domain: str,
        domain_op: Any,
        *,
        op_id: str | None = None,
        parent_op_ids: Iterable[str] | None = None,
        intent_id: str = "",
        reservation_id: str = "",
    ) -> OpEntry:
        """Make an entry with the next timestamp, and append it; raises what `append` raises.

        The arguments are the fields of an `OpEntry` that have their names; `parent_op_ids` is copied. Without an
        `op_id` a fresh one is made. With one, such as `op_id_of(message_id)`, the call may be repeated, after a failure
        or when a message comes twice: if the log has that operation with the same actor, domain, operation, parents and
        linkage, nothing is written. If any of these differs, it is an `OpIdConflictError`.

        Returns:
            The entry, as it is in the log.
        """
        entry = make_op_entry(
            actor_id,
            domain,
            domain_op,
            0,
            parent_op_ids=parent_op_ids,
            intent_id=intent_id,
            reservation_id=reservation_id,
        )
        if op_id is not None:
            entry["op_id"] = op_id
        if self._guard is not None:
            entry = guarded(self._guard, entry)
        with Turn(self._lock):
            self._writer.check_usable()
            self._catch_up.catch_up()
            if op_id is not None:
                return self._writer.record(entry, self._max_line_bytes)
            entry["lamport_ts"] = self._clock.tick()
            # A fresh op_id can't be there yet, so nothing is looked up.
            self._writer.write_entry(entry, op_id_bytes(entry["op_id"]), encode_entry(entry, self._max_line_bytes))
            return entry

    def __iter__(self) -> Iterator[OpEntry]:
        """Every entry that has arrived by now, in arrival order, in constant memory."""
        return self.query()

    def read_all(self) -> list[OpEntry]:
        """Every entry, in arrival order; `iter(log)` gives the same in constant memory."""
        return list(self.query())

    def __len__(self) -> int:
        """How many entries the log holds; from the index."""
        return self.count()

    def __bool__(self) -> bool:
        """True: an open log is something, even while it is empty."""
        return True

    def get(self, op_id: str) -> OpEntry | None:
        """The entry with this op_id, by seek; None if the log has none."""
        return self._pager.find(op_id, lambda _index, place: read_entries(self._file, [place])[0])

    def op_ids_beginning(self, digits: str, *, limit: int = 10) -> list[str]:
        """The op_ids that begin like this, sorted; by seek.

        Args:
            digits: the beginning of an op_id, at least one hexadecimal digit; dashes may be left out.
            limit: at most so many.
        """
        check_number("limit", limit, lowest=0)
        check_name("digits", digits)
        bare = digits.replace("-", "")
        if not 1 <= len(bare) <= 32 or not set(bare) <= set("0123456789abcdef"):
            raise InvalidArgumentError(f"digits: must be the beginning of an op_id, not {digits!r}")
        return self._pager.ask(lambda index: op_ids_beginning(index, bare, limit), [])

    def locate(self, op_id: str) -> tuple[int, int] | None:
        """Where the line of the entry with this op_id lies in `ops.jsonl`, by seek.

        Returns:
            (byte offset, length in bytes with the newline); None if the log has no such entry.
        """
        return self._pager.find(op_id, lambda _index, place: (place.byte_offset, place.length))

    def query(
        self,
        *,
        since_checkpoint: bool = False,
        since: Cut | str | None = None,
        upto: Cut | str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        **filters: Unpack[EntryFilters],
    ) -> Iterator[OpEntry]:
        """The entries that match every filter given, in arrival order, as far as they have arrived by now.

        Args:
            since_checkpoint: only what arrived after the checkpoint.
            since: only what arrived after this: a cut of this log, or the op_id of an entry in it. It is sought.
            upto: only what had arrived by this: a cut, or the op_id of the last entry wanted.
            reverse: the newest arrival first. The end of the log is sought, whatever its size.
            limit: at most so many, None for all.
            filters: see `EntryFilters`; a `TypeError` if there is none of that name.
        """
        wanted = self._wanted(filters, since, upto, since_checkpoint=since_checkpoint)
        return self._select(wanted, limit, reverse=reverse)

    def to_dicts(
        self,
        *,
        since_checkpoint: bool = False,
        since: Cut | str | None = None,
        upto: Cut | str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        **filters: Unpack[EntryFilters],
    ) -> list[EntryRow]:
        """What `query` gives, as flat rows with one type a column: `pandas.DataFrame(log.to_dicts())`.

        The arguments, and what is raised, are those of `query`. All rows are held in memory.
        """
        wanted = self._wanted(filters, since, upto, since_checkpoint=since_checkpoint)
        return list(map(entry_row, self._select(wanted, limit, reverse=reverse)))

    def count(
        self,
        *,
        since_checkpoint: bool = False,
        since: Cut | str | None = None,
        upto: Cut | str | None = None,
        **filters: Unpack[EntryFilters],
    ) -> int:
        """How many entries match; the filters of `query`, answered from the index but for `where`."""
        wanted = self._wanted(filters, since, upto, since_checkpoint=since_checkpoint)
        if wanted.where:
            return sum(map(len, self._pager.pages(wanted, read_lines)))
        return self._pager.ask(lambda index: count(index, wanted), 0)

    @property
    def history(self) -> CausalHistory:
        """What depends on what: parents and children, ancestors and descendants, heads, causal order."""
        return CausalHistory(self._pager)

    def follow(
        self,
        *,
        from_start: bool = False,
        since: Cut | str | None = None,
        timeout: float | None = None,
        **filters: Unpack[EntryFilters],
    ) -> Follower:
        """The entries that arrive from now on, from any process, each once. The session need not exist yet.

        Args:
            from_start: first what has arrived already, from the beginning of the log.
            since: first what has arrived after this: a cut of this log, or the op_id of an entry in it.
            timeout: seconds without a new entry that matches, after which it ends; None waits for ever.
            filters: see `EntryFilters`.
        """
        return Follower(self._feed(WHOLE_PAGE, filters, timeout, from_start=from_start, since=since))

    def follow_async(
        self,
        *,
        from_start: bool = False,
        since: Cut | str | None = None,
        timeout: float | None = None,
        **filters: Unpack[EntryFilters],
    ) -> AsyncFollower:
        """`follow` for an event loop, which it does not block: an asynchronous iterator.

        The arguments are those of `follow`. The position is that of this moment, but it is looked up when the iteration
        begins; what it raises then is what `follow` raises at once.
        """
        return AsyncFollower(self._feed(SMALL_PAGE, filters, timeout, from_start=from_start, since=since))

    def _feed(
        self, size: PageSize, filters: EntryFilters, timeout: float | None, *, from_start: bool, since: Cut | str | None
    ) -> Feed:
        self._lock.check_open()
        wanted = wanted_by(filters)
        return Feed(self._pager, self._checkpoints, wanted, size, timeout, from_start=from_start, since=since)

    def actors(self) -> dict[str, int]:
        """Number of entries by actor_id, most first."""
        return self._pager.ask(lambda index: totals(index, "actor"), {})

    def domains(self) -> dict[str, int]:
        """Number of entries by domain, most first."""
        return self._pager.ask(lambda index: totals(index, "domain"), {})

    def _wanted(
        self, filters: EntryFilters, since: Cut | str | None, upto: Cut | str | None, *, since_checkpoint: bool
    ) -> Filter:
        wanted = wanted_by(filters)
        return between(wanted, self._pager, self._checkpoints, since, upto, since_checkpoint=since_checkpoint)

    def _select(self, wanted: Filter, limit: int | None = None, *, reverse: bool = False) -> Iterator[OpEntry]:
        return chain.from_iterable(self._pager.pages(wanted, read_entries, limit=limit, reverse=reverse))

    def cut(self, at: str | int | datetime | None = None) -> Cut:
        """A consistent cut: exactly the entries that have arrived by now, or had at a moment of the past.

        A moment before the first entry is the cut of no entries, one after the last is what has arrived by now.

        Args:
            at: None for now. An op_id: up to that entry, itself included. A Lamport timestamp: the shortest cut that
                holds every entry with this timestamp or a lower one, so all that could be known then; what arrived in
                between is in it too. A `datetime` with a time zone: up to where an entry was made at that time or
                before, and the next one after it, as far as `created_at` tells. Where clocks were set back or differ,
                or a replica's older entries came late, there are several such places, and this is one of them, the
                same one until more entries come that were made before. An entry whose `created_at` is not a time
                goes with the one before.

        Raises:
            InvalidArgumentError: there is no entry with the op_id, the timestamp is negative, or the time has no zone.
        """
        return cut_at(self._pager, self._checkpoints, at)

    def replay_since_checkpoint(self, *, upto: Cut | str | None = None) -> list[OpEntry]:
        """What arrived after the checkpoint, whatever its timestamp, up to `upto` (default: now), as `query` has it.

        In arrival order; everything if there is no checkpoint.
        """
        return list(self.query(since_checkpoint=True, upto=upto))

    def to_structured_delta(
        self,
        domain: str,
        *,
        since: Cut | str | None = None,
        upto: Cut | str | None = None,
        attribution: bool = False,
    ) -> StructuredDelta:
        """Collapse what `domain` did after the checkpoint or another moment, up to a moment.

        `domain` is an exact name; one that is not in the log gives a delta without ops. What two deltas hold that
        follow each other, from A to B and from B to C, is together what the one from A to C holds.

        Args:
            domain: which domain.
            since: a cut of this log, or an op_id in it; None for the checkpoint. `Cut(session_id, 0, 0)` is the
                beginning.
            upto: a cut or an op_id; None for now.
            attribution: whether to give `op_ids` and `actor_ids` beside `ops`, one for each and in the same order.

        Returns:
            `ops` in total order (lamport_ts, actor_id, op_id), the same on every replica, and a `summary` that counts
            them by kind, sorted: "3 delete, 12 insert", or "no ops".
        """
        check_name("domain", domain)
        found = self.query(since_checkpoint=since is None, since=since, upto=upto, domain=domain)
        return collapse(domain, found, attribution=attribution)

    def checkpoint(
        self, snapshot_id: str, *, upto: Cut | None = None, after: str | EllipsisType | None = ...
    ) -> OpLogCheckpoint:
        """Mark everything below a cut (default: now) as crystallised into `snapshot_id`.

        Give it the cut that the delta was collapsed at: what arrived in between stays pending. The log is synced, then
        `checkpoint.json` replaced atomically: when this returns, both survive power loss, whatever the durability.

        Args:
            snapshot_id: what the commit is called, non-empty, at most 1,024 bytes.
            upto: a cut of this log, as `cut` gave it.
            after: the snapshot that this one follows, None if it is the first; if it is left out, nobody asks.

        Returns:
            The record, as it is in `checkpoint.json`.

        Raises:
            NotCommitterError: the session is on several hosts, and another one commits.
            CheckpointBackwardsError: the checkpoint that exists covers more.
            CheckpointError: it is of another snapshot than `after`: somebody else has committed meanwhile.
            LimitExceededError: `snapshot_id` takes more than 1,024 bytes.
            SyncError: the log could not be flushed; the old record stands.
        """
        check_name("snapshot_id", snapshot_id)
        if not snapshot_id:
            raise InvalidArgumentError("snapshot_id: must not be empty")
        if len(snapshot_id.encode()) > MAX_SNAPSHOT_ID_BYTES:
            raise LimitExceededError(f"snapshot_id: longer than {MAX_SNAPSHOT_ID_BYTES} bytes: {snapshot_id[:40]!r}…")
        self.check_may_commit()
        with Turn(self._lock):
            self._writer.check_usable()
            if upto is not None:
                self._checkpoints.check_cut("upto", upto)
            return self._checkpoints.replace(snapshot_id, upto, after, self._writer.sync)

    def commit(self, target: CommitTarget, *, message: str | None = None) -> Committed | None:
        """Commit all that is pending, of all domains, in one commit; the checkpoint follows.

        To call it again is right after any failure, from any process: what was committed is not committed twice.

        Args:
            target: where to commit, such as `muse.commit.GitTarget(".")`.
            message: what to say about it.

        Returns:
            The commit; None if nothing is pending.

        Raises:
            CommitError, GitError, OSError: as `muse.commit.commit` says.
        """
        # It stands above the engine. Nothing of it is loaded before it is asked for.
        from muse.commit import commit  # noqa: PLC0415

        return commit(self, target, message=message)

    def check_may_commit(self) -> None:
        """Raise `NotCommitterError` if the session is on several hosts, and its commits are made on another one."""
        check_is_committer(self.path)

    def follow_commit(self, snapshot_id: str, *, upto: Cut, digest: str, may_differ: bool = False) -> bool:
        """Bring `checkpoint.json` to where the newest commit ends, even if it is missing, older or damaged.

        For `muse.commit`, which asks the target of the commits first: what it says is committed.

        Args:
            snapshot_id: what the commit is called.
            upto: where it ends.
            digest: the `log_digest` of what it and those before it cover.
            may_differ: the log may differ from that, since what is damaged is known.

        Returns:
            Whether the checkpoint is there. False: the log below is not, or not any more, what the digest says.

        Raises:
            CheckpointBackwardsError: a checkpoint that covers more was made.
        """
        with Turn(self._lock):
            self._checkpoints.check_cut("upto", upto)
            return self._checkpoints.follow_commit(snapshot_id, upto, digest, self._writer.sync, may_differ=may_differ)

    def read_slice(self, since: Cut, upto: Cut) -> tuple[bytes, list[OpEntry]]:
        """What arrived between two cuts, made durable; all of it is held in memory.

        Args:
            since: where it begins, a cut of this log.
            upto: where it ends.

        Returns:
            (the lines byte for byte, the entries): damaged and repeated lines are among the former only.

        Raises:
            LockTimeoutError: another process makes a checkpoint or redacts, and does not end.
        """
        with Turn(self._lock):
            start = self._checkpoints.check_cut("since", since).byte_offset
            stop = self._checkpoints.check_cut("upto", upto).byte_offset
            lines = b""
            if start < stop:
                if not self._file.is_synced(stop - 1):
                    self._writer.sync()
                with self._checkpoints.alone():
                    lines = self._file.read(start, stop)
        # Afterwards: it raises if the log was cut meanwhile, so that the bytes are all there.
        return lines, list(self._select(Filter(start=start, stop=stop)))

    def undo(
        self,
        entries: Iterable[OpEntry | str],
        *,
        by: str,
        inverse: Callable[[Mapping[str, Any]], Mapping[str, Any]] = inverse,
        force: bool = False,
    ) -> list[OpEntry]:
        """Take operations back by appending their inverses, the newest first, as one batch; nothing is removed.

        What is undone already is passed over, so that a call may be repeated. To undo an undo is to redo.

        Args:
            entries: what to undo: entries of this log, as `query` gives them, or op_ids.
            by: the actor that undoes. Each new entry names the one that it undoes as its parent.
            inverse: what takes an operation back; `muse.domain.inverse` knows the six kinds, a domain its own. It
                raises `ValueError` for what it does not know.
            force: undo even if others have worked on the same address since.

        Returns:
            What was appended.

        Raises:
            UndoConflictError: a later operation on the same address is not among these and not undone itself.
            NoInverseError: `inverse` knows nothing that takes one of them back.
            UnknownOpError: the log does not hold one of them.
            MuseError: what `append_many` raises. In all these cases nothing is undone.
        """
        # It stands above the engine, as `muse.commit`.
        from muse.undo import undo  # noqa: PLC0415

        return undo(self, entries, by=by, inverse=inverse, force=force)

    def lines_after(self, byte_offset: int) -> tuple[list[tuple[int, int, bytes]], int]:
        """The next lines of entries that begin at a byte offset or after it: at most 1,024 or 1 MiB, but one at least.

        Damaged and repeated lines are passed over.

        Returns:
            ((where it begins, where it ends, the line byte for byte) of each, where to go on): if the log is shorter
            than `byte_offset`, its end.
        """
        check_number("byte_offset", byte_offset, lowest=0)
        end = self._pager.end()
        if byte_offset >= end:
            return [], end
        placed, resume_at = self._pager.page(Filter(start=byte_offset, stop=end), read_placed_lines, WHOLE_PAGE)
        return placed, end if resume_at is None else resume_at

    def append_lines(self, data: bytes, *, on_skip: Callable[[str, str], None] | None = None) -> tuple[int, int]:
        """Append the lines of another replica as they are, after each was held to the format; `merge` from bytes.

        What the log already holds is passed over; what is redacted there is redacted here.

        Args:
            data: whole lines, at most some megabytes.
            on_skip: called with (op_id, reason) of each line that can't be taken, the op_id "" if it is no valid entry;
                the rest is taken. None raises what `append` raises, and nothing is written.

        Returns:
            (how many were added, a byte offset below which all lie that were not skipped)
        """
        skipped: list[tuple[str, str]] = []

        def skip(op_id: bytes, error: InvalidEntryError) -> None:
            skipped.append((str(uuid.UUID(bytes=op_id)) if op_id else "", str(error)))

        refuse = raise_it if on_skip is None else skip
        batch = Batch.of_foreign_lines(BytesIO(data).readlines(), self._max_line_bytes, refuse)
        redactions: dict[str, Redaction] = {}
        added, end = self._take_over(batch, refuse, redactions)
        self._redact_too(redactions)
        # When the handle is free again, as whoever is told may use it.
        if on_skip is not None:
            for op_id, reason in skipped:
                on_skip(op_id, reason)
        return added, end

    def _take_over(self, batch: Batch, refuse: Refuse, redactions: dict[str, Redaction]) -> tuple[int, int]:
        """Append lines of another replica as they are: how many were added, and where the log ends then.

        What is redacted there and not here is put into `redactions`.
        """
        with Turn(self._lock):
            batch = self._writer.take_redactions(batch, redactions)
            if self._guard is not None:
                self._catch_up.catch_up()
            start = self._catch_up.end
            added, end = self._writer.append(batch, refuse), self._catch_up.end
        if self._guard is not None and added:
            mine = set(batch.columns.op_ids)
            arrived = self._select(Filter(start=start, stop=end))
            new = (entry for entry in arrived if op_id_bytes(entry["op_id"]) in mine)
            self.would_refuse += count_refused(self._guard, self.path, new)
        return added, end

    def read_checkpoint(self) -> OpLogCheckpoint | None:
        """The most recent checkpoint record; None if none was made."""
        with Turn(self._lock):
            return self._checkpoints.current()[0]

    def merge(
        self,
        other: OpLog,
        *,
        on_conflict: Literal["raise", "skip"] = "raise",
        on_skip: Callable[[str, str], None] | None = None,
        on_redact: Callable[[list[str]], None] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Append what `other` has and this log lacks, its lines as they are; the other is not changed.

        A join: doing it again adds nothing, and replicas that have merged all of each other, in any order, hold the
        same set, the same total order and the same deltas. The clock goes on above both logs. The past that a fork
        shares with its source is not read, as long as both indexes know the same of it. An operation that is redacted
        in one of the two counts as redacted: one that `other` has redacted is redacted here too.

        Args:
            other: the other replica; usually the same session in another repository.
            on_conflict: "raise" stops at an entry that can't be taken: other content under an op_id, a line longer than
                `max_line_bytes`, a timestamp beyond `max_lamport_jump`. "skip" passes it over and takes the rest.
            on_skip: called with (op_id, reason) of each that is passed over; None logs them as warnings.
            on_redact: called with the op_ids of what was redacted here because it is redacted there, if anything was.
            progress: called with (entries looked at, entries to look at).

        Returns:
            How many entries were added.

        Raises:
            OpIdConflictError: both have an op_id with different contents. What was added before stays.
            MuseError: whatever else `append` raises.
        """
        if not isinstance(other, OpLog):
            raise InvalidArgumentError(f"other: must be an OpLog, not {type(other).__name__}")
        if on_conflict not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_conflict: must be 'raise' or 'skip', not {on_conflict!r}")
        tell = on_skip or partial(_log.warning, "%s: %s is not merged: %s", self.path)
        new = Filter(start=end_of_shared_past(self._pager, self.session_id, other._pager, other.session_id))
        total = other._pager.ask(lambda index: count(index, new), 0)
        done = added = 0
        redactions: dict[str, Redaction] = {}
        for lines in other._pager.pages(new, read_lines):
            skipped: dict[bytes, InvalidEntryError] = {}
            refuse = raise_it if on_conflict == "raise" else skipped.__setitem__
            batch = Batch.of_lines(lines, self._max_line_bytes, refuse)
            added += self._take_over(batch, refuse, redactions)[0]
            # When the handle is free again, as whoever is told may use it.
            for op_id, error in skipped.items():
                tell(str(uuid.UUID(bytes=op_id)), str(error))
            done += len(lines)
            if progress:
                progress(done, max(total, done))
        # What they have written down says more than a marker has room for.
        known = read_redacted(other.folder) if redactions else {}
        self._redact_too({op_id: known.get(op_id, said) for op_id, said in redactions.items()})
        if on_redact is not None and redactions:
            on_redact(sorted(redactions))
        return added

    def _redact_too(self, redactions: Mapping[str, Redaction]) -> None:
        """Redact what was redacted in another replica."""
        if redactions:
            with Turn(self._lock):
                self._catch_up.suspend()
                redact(self._file, self.session_id, redactions)
            _log.info("%s: %d operations were redacted elsewhere, and now here", self.path, len(redactions))

    def _fork(self, new: str, upto: Cut | str | None) -> Cut:
        if not self.exists():
            raise InvalidArgumentError(f"source: there is no session {self.session_id!r}: {self.path} is not there")
        cut = self.cut(at=upto) if isinstance(upto, str) else upto or self.cut()
        with Turn(self._lock):
            cut = self._checkpoints.check_cut("upto", cut)
            fork(self.folder.parents[2], self._file, self._checkpoints, cut, new)
        return cut

    def replicate(self, urls: str | None = None, **settings: Any) -> Replica:
        """Keep this session the same on several hosts, by way of a NATS server: starts a process that does so.

            with log.replicate("nats://a,nats://b", space="studio") as replica:
                ...
                replica.wait_synced(10)

        Args:
            urls: servers of one cluster; None: what the environment or `.muse/replicate.toml` says.
            settings: other fields of `muse.replicate.Settings`.

        Raises:
            ReplicaBusyError: this session of this repository is being replicated already.
            ReplicationUnavailableError: `nats-py` is not installed (`pip install 'muse-op-log[nats]'`).
        """
        # It stands above the engine, as `muse.commit`.
        from muse.replicate import Replica  # noqa: PLC0415

        return Replica(*self._replicated(urls, settings), **self._for_replica).start()

    def replicate_async(self, urls: str | None = None, **settings: Any) -> AsyncReplica:
        """For an event loop: a replica for `async with`. The arguments are `replicate`'s."""
        from muse.replicate import AsyncReplica  # noqa: PLC0415

        return AsyncReplica(*self._replicated(urls, settings), **self._for_replica)

    def _replicated(self, urls: str | None, settings: dict[str, Any]) -> tuple[Path, str, Settings]:
        from muse.replicate import read_settings  # noqa: PLC0415

        repo_root = self.folder.parents[2]
        return repo_root, self.session_id, read_settings(repo_root, {**settings, "url": urls})

    def damaged_lines(self, since: Cut, upto: Cut) -> list[tuple[int, int, str]]:
        """The damaged lines that arrived after the cut `since`, up to the cut `upto`, as they were indexed.

        Returns:
            (byte offset, length in bytes with the newline, what is wrong) of each.
        """
        with Turn(self._lock):
            start = self._checkpoints.check_cut("since", since).byte_offset
            stop = self._checkpoints.check_cut("upto", upto).byte_offset
        return self._pager.ask(lambda index: damaged_lines(index, start, stop), [])

    def verify(self, *, progress: Progress | None = None, max_findings: int | None = 1000) -> VerifyReport:
        """Check everything: each line, the index against the log, the checkpoint against what it covers.

        What the index or its evidence knew and the log no longer has is listed as lost. Nothing is repaired or changed.
        Memory stays constant, but for what is listed: a temporary index is made.

        Args:
            progress: called with (bytes checked, bytes in all).
            max_findings: how many findings, and how many lost operations, to list of each kind; None lists all.
                `counts` is exact whatever it is.

        Returns:
            What was found, with the place, the reason and the remedy of each finding; the worst first.
        """
        with Turn(self._lock):
            self._catch_up.close()
            return verify(self._file, self.session_id, self._catch_up.finish_redaction, progress, max_findings)

    def rebuild_index(self, *, progress: Progress | None = None, workers: int = 1) -> None:
        """Make the index anew from the log, if there is one, and swap it in; writers and readers go on meanwhile.

        Args:
            progress: called with (bytes read, bytes in all).
            workers: how many processes read the log; with more than one this one only writes what they give back.

        Raises:
            OSError, sqlite3.Error: it could not be written; the old one is unchanged.
        """
        check_number("workers", workers, lowest=1, highest=MAX_WORKERS)
        with Turn(self._lock):
            if self._file.size():
                self._catch_up.rebuild(progress, workers)

    def repair(self, *, source: OpLog | None = None, dry_run: bool = False) -> RepairReport:
        """Bring back what can be had again; what is in the log stays, and what is replaced is kept beside it.

        Entries that a damaged line holds whole, and lost operations that `source` has, are appended again, in the order
        in which they were. Then checkpoint.json is restored from what the index has seen, if it is not right. Where it
        covered more than the log still has, that waits until what is lost is back or accepted.

        Args:
            source: another replica, or an export that was imported somewhere.
            dry_run: only say what would be done.

        Raises:
            MuseError: whatever `append` and `checkpoint` raise.
        """
        report = self.verify(max_findings=None)
        if report.counts.keys() & {"operation-lost", "line-changed"}:
            # So that it knows what has changed, and what can be appended again.
            self.rebuild_index()
        find = None if source is None else source._line_of  # noqa: SLF001 - of the same class
        repair, lines = lines_to_append(self._file, report, lambda op_id: self.get(op_id) is not None, find)
        with Turn(self._lock):
            if lines and not dry_run:
                self._writer.append(Batch.of_lines(lines, self._max_line_bytes))
            try:
                is_all_back = not repair.not_repaired
                repair.checkpoint = self._checkpoints.restore(may_set_back=is_all_back, dry_run=dry_run)
            except CheckpointError as error:
                # Perhaps it fits again when the lines are there.
                repair.not_repaired += [] if dry_run and lines else [str(error)]
        return repair

    def _line_of(self, op_id: str) -> bytes | None:
        return self._pager.find(op_id, lambda _index, place: read_lines(self._file, [place])[0])

    def redact(self, *op_ids: str, by: str, why: str) -> RedactReport:
        """Get a secret out: overwrite what operations say, wherever this log holds it. It can't be had back.

            log.redact(op_id, by="ada", why="held a token, which is revoked")

        `domain_op` becomes a marker of the same length, `{"op": "redacted", "by": …, "at": …, "why": …}`, cut to fit.
        All else stays: the other fields, offsets, order, cuts, checkpoint. Appends and followers go on meanwhile. When
        this returns, it survives power loss; if it is cut off at any moment, the next process to open the session
        finishes it. Who, when and why stand in redacted.json too. Commits, exports, replicas and backups still have the
        text.

        Args:
            op_ids: which operations.
            by: who redacts them, at most 4,096 characters.
            why: the reason, without the secret, at most 4,096 characters.

        Raises:
            UnknownOpError: the log holds nothing of one of them; nothing was done.
            LockTimeoutError: another process makes a checkpoint or redacts, and does not end.
            OSError, sqlite3.Error: it was begun and could not be finished; the next who opens the session goes on.
        """
        with Turn(self._lock):
            self._catch_up.suspend()
            return redact_by(self._file, self.session_id, op_ids, by, why)

    def accept(self, findings: Iterable[Finding], *, by: str, why: str) -> None:
        """Write down that an operator has understood some findings: from then on they are notes, and no damage.

        They stand in accepted.json. What changes later, or is found beside them, is damage again.

        Args:
            findings: of a report of this session, made with `max_findings=None`.
            by: who accepts them.
            why: the reason.

        Raises:
            InvalidArgumentError: one of them can be mended, so that there is nothing to accept.
            DamagedAcceptanceError: what was accepted before can't be read.
        """
        for name, text in (("by", by), ("why", why)):
            check_name(name, text)
            if not text:
                raise InvalidArgumentError(f"{name}: must not be empty")
        members: dict[str, list[str]] = {}
        for finding in findings:
            if finding.kind not in ACCEPTABLE:
                raise InvalidArgumentError(f"findings: {finding.kind} is not for accepting: {finding.remedy}")
            members.setdefault(finding.kind, []).extend(finding.members)
        with Turn(self._lock):
            add_accepted(self.folder, members, by, why)
            for digest in members.get("checkpoint-digest", ()):
                self._checkpoints.take_over_digest(digest)


def fork_session(repo_root: str | os.PathLike[str], source: str, new: str, *, upto: Cut | str | None = None) -> Cut:
    """Make a session that shares its past with another one; when this returns, it survives power loss.

    It holds the same entries, with the same op_ids, and goes on by itself. To merge one into the other, or two forks of
    one session, takes over what the other has and reads only that. The source is only read, and may be written to
    meanwhile. The checkpoint goes along as far as it lies below the cut, so nothing that the source has committed by
    now is pending in the fork. What is pending there at the cut is pending in both: commit it first, or in one of them.
    Which damage is accepted goes along as well.

    Args:
        repo_root: the folder that holds `.muse/`.
        source: the id of the session to fork.
        new: the id of the fork.
        upto: a cut of the source, or an op_id in it, the last of the shared past; None for all that has arrived by now.

    Returns:
        The cut of the source, up to which both are the same.

    Raises:
        SessionExistsError: there is a session `new`; it is not changed.
        InvalidArgumentError: there is no session `source`, or `upto` is not a moment of it.
        InvalidSessionIdError: an id can't be a folder.
        DamagedCheckpointError, DamagedAcceptanceError: checkpoint.json or accepted.json of the source can't be used.
        OSError: it could not be read or written. In all these cases nothing was made.
    """
    with OpLog(repo_root, source) as log:
        return log._fork(new, upto)  # noqa: SLF001 - of this module's own class
