"""Drafts become entries: op_ids and timestamps are given, and what is not there yet is appended, in batches.

An op_id is made of the draft's key. A timestamp is the time in milliseconds since 1970, or more if it has to be: above
the one before it in the file, and above those of its parents. So both depend on the file alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from muse.core.op_log import (
    InvalidEntryError,
    OpEntry,
    OpIdConflictError,
    OpLog,
    op_id_of,
    parse_object,
    parse_time,
    same_value_text,
)
from muse.ingest.draft import SURPRISES, Draft, Mapper, UnmappedError, unmapped

_BATCH = 1000
_MOST_HELD = 100_000
"""How many drafts of a file wait for their parents at most; then none waits any longer."""

_op_id_of = lru_cache(1 << 16)(op_id_of)

_Numbered = tuple[int, Draft]
"""A draft and the number of its line."""


class IngestedFile:
    """One file, and how far it was read."""

    def __init__(self, name: str, mapper: Mapper) -> None:
        self.name = name
        self.mapper = mapper
        self.last = 0
        """The last timestamp that was given."""
        self.waiting: dict[str, list[_Numbered]] = {}
        """By the op_id of a parent that has not come yet, what waits for it."""
        self.held = 0
        """How many that are."""


class Ingestion:
    """Appends what files hold to one log."""

    def __init__(self, log: OpLog, tell: Callable[[str, int, str], None]) -> None:
        """`tell` is called with (file, line number, reason) of each line that can't be mapped or is refused."""
        self._log = log
        self._tell = tell
        self._given: dict[str, int] = {}
        """The timestamp of each op_id so far."""
        self._batch: list[tuple[str, int, OpEntry]] = []
        self._mappers: list[Mapper] = []
        self.lines = 0
        """How many lines were read."""
        self.added = 0
        self.already_there = 0
        self.unmapped = 0

    @property
    def passed_over(self) -> Counter[str]:
        """By type, how many lines were of no interest."""
        return sum((mapper.passed_over for mapper in self._mappers), Counter())

    def open(self, name: str, mapper: Mapper) -> IngestedFile:
        """Begin with a file."""
        self._mappers.append(mapper)
        return IngestedFile(name, mapper)

    def take(self, file: IngestedFile, number: int, line: bytes) -> None:
        """Map one line; what it becomes is appended with its batch."""
        self.lines += 1
        try:
            found = file.mapper.drafts(parse_object(line), line)
        except SURPRISES as error:
            found = [unmapped(error)]
        for draft in found:
            if isinstance(draft, UnmappedError):
                self.refuse(file.name, number, str(draft))
                continue
            file.held += 1
            awaited = self._awaited(draft) if file.mapper.waits_for_parents else None
            if awaited is None:
                self._give(file, [(number, draft)], file.waiting)
            else:
                file.waiting.setdefault(awaited, []).append((number, draft))
        if file.held > _MOST_HELD:
            self.end_waiting(file)

    def refuse(self, name: str, number: int, reason: str) -> None:
        """Tell of a line that is not in the log."""
        self.unmapped += 1
        self._tell(name, number, reason)

    def end_waiting(self, file: IngestedFile) -> None:
        """What still waits for a parent goes without it."""
        waiting, file.waiting = file.waiting, {}
        own = {_op_id_of(draft.key) for drafts in waiting.values() for _, draft in drafts}
        # First those that wait for something else than each other; what is left then is a circle.
        for awaited in sorted(waiting, key=own.__contains__):
            self._give(file, waiting.pop(awaited, []), waiting)

    def _awaited(self, draft: Draft) -> str | None:
        return next((op_id for op_id in map(_op_id_of, draft.parents) if op_id not in self._given), None)

    def _give(self, file: IngestedFile, drafts: list[_Numbered], waiting: dict[str, list[_Numbered]]) -> None:
        """Make entries of drafts, and of those that wait for them."""
        pending = drafts[::-1]
        while pending:
            number, draft = pending.pop()
            file.held -= 1
            entry = self._entry(file, draft)
            self._batch.append((file.name, number, entry))
            for following in reversed(waiting.pop(entry["op_id"], [])):
                # It may wait for another one as well; when nothing waits any longer, that has to do.
                awaited = self._awaited(following[1]) if waiting is file.waiting else None
                if awaited is None:
                    pending.append(following)
                else:
                    waiting.setdefault(awaited, []).append(following)
            if len(self._batch) >= _BATCH:
                self.flush()

    def _entry(self, file: IngestedFile, draft: Draft) -> OpEntry:
        op_id = _op_id_of(draft.key)
        parents = list(map(_op_id_of, draft.parents))
        lamport_ts = self._given.get(op_id)
        if lamport_ts is None:
            moment = parse_time(draft.created_at)
            milliseconds = int(moment.timestamp() * 1000) if moment else 0
            above = max([file.last, *(self._given.get(parent, 0) for parent in parents)])
            lamport_ts = self._given[op_id] = file.last = max(milliseconds, above + 1)
        return {
            "op_id": op_id,
            "actor_id": draft.actor_id,
            "lamport_ts": lamport_ts,
            "parent_op_ids": parents,
            "domain": draft.domain,
            "domain_op": draft.domain_op,
            "created_at": draft.created_at,
            "intent_id": draft.intent_id,
            "reservation_id": "",
        }

    def flush(self) -> None:
        """Append what was mapped so far."""
        batch, self._batch = self._batch, []
        self._append(batch)

    def _append(self, batch: list[tuple[str, int, OpEntry]]) -> None:
        try:
            added = self._log.append_many([entry for _, _, entry in batch])
        except InvalidEntryError as error:
            # Nothing of the batch was written.
            if isinstance(error, OpIdConflictError):
                rest = [each for each in batch if not self._is_there(each[2])]
                if len(rest) < len(batch):
                    self.already_there += len(batch) - len(rest)
                    self._append(rest)
                    return
            if len(batch) > 1:
                # Halved again and again, it shows which entry is refused.
                self._append(batch[: len(batch) // 2])
                self._append(batch[len(batch) // 2 :])
            else:
                ((name, number, _),) = batch
                self.refuse(name, number, str(error))
            return
        self.added += added
        self.already_there += len(batch) - added

    def _is_there(self, entry: OpEntry) -> bool:
        """Whether it is there, but for what depends on the rest of the file: a resumed session begins with a copy."""
        there = self._log.get(entry["op_id"])
        return there is not None and _said(there) == _said(entry)


def _said(entry: OpEntry) -> bytes:
    # As JSON: Python takes 1, 1.0 and true for equal.
    return same_value_text([entry["actor_id"], entry["domain"], entry["domain_op"]])
