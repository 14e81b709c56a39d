"""A question to the index: what to look for, and the SQL that asks for it.

Filters reach SQL as parameters, never as text.
"""

from __future__ import annotations

from dataclasses import dataclass

from muse.core.entry.validation import check_name, check_number
from muse.core.old_index.index import Index
from muse.core.old_index.index_check import number_of_name
from muse.core.old_index.index_segment import ROLES

END = 2**62
"""A byte offset beyond the end of every log."""


@dataclass(frozen=True)
class Filter:
    """What to look for; None means "any". The parts are combined with AND."""

    actor: str | None = None
    domain: str | None = None
    intent: str | None = None
    reservation: str | None = None
    min_lamport_ts: int | None = None
    max_lamport_ts: int | None = None
    start: int = 0
    """First byte of the log to look at."""
    stop: int = END
    """Byte offset to stop before."""

    def __post_init__(self) -> None:
        for role in ROLES:
            if getattr(self, role) is not None:
                check_name(role, getattr(self, role))
        for bound in ("min_lamport_ts", "max_lamport_ts"):
            if getattr(self, bound) is not None:
                check_number(bound, getattr(self, bound))

    @property
    def every_line(self) -> bool:
        """Whether every line between start and stop is wanted."""
        return self.names() == {} and self.min_lamport_ts is None and self.max_lamport_ts is None

    def names(self) -> dict[str, str]:
        """The names asked for, by role."""
        return {role: name for role in ROLES if (name := getattr(self, role)) is not None}


class Question:
    """A filter with its names turned into numbers, and the SQL texts that ask it."""

    def __init__(self, wanted: Filter, numbers: dict[str, int]) -> None:
        self.roles = list(numbers)
        self.values: dict[str, int] = {"start": wanted.start, "stop": wanted.stop, **numbers}
        # An entry without intent or reservation says "", and its column is NULL.
        unset = [role for role, name in wanted.names().items() if not name]
        # The + keeps SQLite from seeking a domain: what the rows are checked by covers only the way by their place.
        rows = [f"+{role} = :{role}" for role in numbers] + [
            f"{role} IS NULL AND op_high IS NOT NULL" for role in unset
        ]
        segments = []
        if wanted.min_lamport_ts is not None:
            self.values["min_ts"] = min(max(wanted.min_lamport_ts, 0), END)
            rows.append("lamport_ts >= :min_ts")
            segments.append("s.max_lamport_ts >= :min_ts")
        if wanted.max_lamport_ts is not None:
            self.values["max_ts"] = min(max(wanted.max_lamport_ts, -1), END)
            rows.append("lamport_ts <= :max_ts")
            segments.append("s.min_lamport_ts <= :max_ts")
        self.summarised = len(self.roles) <= 1 and not segments and not unset
        self.row_conditions = "".join(f" AND {condition}" for condition in rows)
        self._segment_conditions = "".join(f" AND {condition}" for condition in segments)

    @classmethod
    def of(cls, index: Index, wanted: Filter) -> Question | None:
        """None where a name occurs nowhere in the log, so that nothing can match."""
        numbers = {}
        for role, name in wanted.names().items():
            if not name and role in ("intent", "reservation"):
                continue
            number = number_of_name(index, name)
            if number is None:
                return None
            numbers[role] = number
        return cls(wanted, numbers)

    # The segments met are only those in which every name asked for occurs: its presence is walked
    # first (CROSS JOIN keeps SQLite to that order), or the segments themselves where no name is given.

    @property
    def _key(self) -> str:
        return f"p_{self.roles[0]}.segment" if self.roles else "s.first_offset"

    def _segments(self) -> str:
        tables = [f"{role}_presence AS p_{role}" for role in self.roles] + ["segment AS s"]
        conditions = [f"p_{role}.name = :{role}" for role in self.roles]
        conditions += [f"p_{role}.segment = {self._key}" for role in self.roles[1:]]
        conditions += [f"s.first_offset = {self._key}"]
        return f"FROM {' CROSS JOIN '.join(tables)} WHERE {' AND '.join(conditions)}"

    def _overlap(self) -> str:
        reach = "(SELECT coalesce(max(first_offset), 0) FROM segment WHERE first_offset <= :start)"
        return f"{self._key} >= {reach} AND {self._key} < :stop AND s.end_offset > :start{self._segment_conditions}"

    def _entries(self) -> str:
        return f"p_{self.roles[0]}.entries" if self.roles else "s.entries"

    def segments(self) -> str:
        """SQL for (first offset, end offset, matching entries by the summary) of every segment to look at."""
        return f"SELECT s.first_offset, s.end_offset, {self._entries()} {self._segments()} AND {self._overlap()}"

    def next_segment(self) -> str:
        """SQL for the first of them, without the number."""
        return f"SELECT first_offset, end_offset FROM ({self.segments()} ORDER BY {self._key} LIMIT 1)"

    def last_segment(self) -> str:
        """SQL for the last of them, without the number."""
        return f"SELECT first_offset, end_offset FROM ({self.segments()} ORDER BY {self._key} DESC LIMIT 1)"

    def rows_by_name(self) -> str:
        """SQL for the first rows with the one name asked for: a place and its segment's range."""
        role = self.roles[0]
        return (
            f"SELECT l.byte_offset, l.length, l.checksum, l.lamport_ts, s.first_offset, s.end_offset "
            f"FROM {role}_presence AS p_{role} CROSS JOIN segment AS s CROSS JOIN line AS l "
            f"WHERE p_{role}.name = :{role} AND s.first_offset = {self._key} "
            f"AND {self._overlap()} "
            f"AND l.byte_offset >= s.first_offset AND l.byte_offset < s.end_offset AND l.{role} = :{role} "
            f"ORDER BY {self._key}, l.byte_offset LIMIT :limit"
        )

    def whole_segments(self) -> str:
        """SQL for how many entries match in the segments that lie between start and stop, by their summaries."""
        return f"SELECT coalesce(sum({self._entries()}), 0) {self._segments()} AND {self._overlap()} AND {_WHOLE}"

    def rest(self) -> str:
        """SQL like `segments`, for those whose rows have to be counted."""
        return f"{self.segments()} AND NOT ({_WHOLE})" if self.summarised else self.segments()


_WHOLE = "s.first_offset >= :start AND s.end_offset <= :stop"
