"""The independent answer: what a log says when it is read with plain `json` and no index.

Everything that the tests expect of the engine comes from here or from a list that the test kept itself.
This module must not import `muse`: an oracle that shares code with the engine shares its mistakes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

Entry = dict[str, Any]

FIELDS = (
    "op_id",
    "actor_id",
    "lamport_ts",
    "parent_op_ids",
    "domain",
    "domain_op",
    "created_at",
    "intent_id",
    "reservation_id",
)
MAX_LAMPORT_TS = 2**53 - 1
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
BOM = b"\xef\xbb\xbf"


class Damaged(ValueError):  # noqa: N818 - it is a verdict on a line, not a failure of the test
    """The line is no entry; the message says why."""


@dataclass(frozen=True)
class Span:
    """A line of the log: where it begins, and its length in bytes without the newline."""

    byte_offset: int
    length: int


@dataclass
class PlainScan:
    """What one pass over the bytes of a log found."""

    entries: list[Entry] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    damaged: list[tuple[Span, str]] = field(default_factory=list)
    duplicates: list[Span] = field(default_factory=list)
    conflicts: list[Span] = field(default_factory=list)
    blank_lines: int = 0
    tail: bytes = b""

    @property
    def op_ids(self) -> list[str]:
        """The op_ids, in arrival order."""
        return [entry["op_id"] for entry in self.entries]

    @property
    def placed(self) -> list[tuple[Entry, Span]]:
        """Each entry and its line, in arrival order."""
        return list(zip(self.entries, self.spans, strict=True))


def _object_without_twins(pairs: list[tuple[str, Any]]) -> Entry:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Damaged("duplicate key")
    return made


def _int_of_64_bits(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise Damaged("integer past 64 bits")
    return number


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Damaged("number past the range of a float")
    return number


def _no_constant(name: str) -> NoReturn:
    raise Damaged(f"{name} is not JSON")


# One decoder for all lines: json.loads would make one for each call that has hooks.
_STRICT = json.JSONDecoder(
    object_pairs_hook=_object_without_twins,
    parse_int=_int_of_64_bits,
    parse_float=_finite_float,
    parse_constant=_no_constant,
)


def parse(line: bytes) -> Any:
    """Read one line strictly; raises `Damaged` where JSON leaves no single exact reading."""
    try:
        text = line.decode("utf-8")
        value = _STRICT.decode(text)
        if "\\u" in text:
            # A lone surrogate passes json.loads; it has no UTF-8 form.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Damaged:
        raise
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error
    return value


def _is_uuid(value: object) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def _is_lamport(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_LAMPORT_TS


def fault(value: object) -> str | None:
    """Say which field keeps a JSON value from being an entry, or None."""
    if not isinstance(value, dict):
        return "not an object"
    missing = [name for name in FIELDS if name not in value]
    if missing:
        return f"missing {missing}"
    checks = {
        "op_id": _is_uuid(value["op_id"]),
        "actor_id": isinstance(value["actor_id"], str) and value["actor_id"] != "",
        "lamport_ts": _is_lamport(value["lamport_ts"]),
        "parent_op_ids": isinstance(value["parent_op_ids"], list) and all(map(_is_uuid, value["parent_op_ids"])),
        "domain": isinstance(value["domain"], str) and value["domain"] != "",
        "domain_op": isinstance(value["domain_op"], dict),
        "created_at": isinstance(value["created_at"], str),
        "intent_id": isinstance(value["intent_id"], str),
        "reservation_id": isinstance(value["reservation_id"], str),
    }
    return next((name for name, holds in checks.items() if not holds), None)


def scan(data: bytes) -> PlainScan:
    """Read a whole log: the first line of an op_id counts, bytes after the last newline are no line.

    A byte order mark is taken off any line: files of other programs get joined with `cat`.
    """
    found = PlainScan()
    first: dict[str, Entry] = {}
    *lines, found.tail = data.split(b"\n")
    byte_offset = 0
    for line in lines:
        span = Span(byte_offset, len(line))
        byte_offset += len(line) + 1
        if not line.strip(b" \t\r"):
            found.blank_lines += 1
            continue
        try:
            value = parse(line.removeprefix(BOM))
            wrong = fault(value)
            if wrong is not None:
                raise Damaged(wrong)
        except Damaged as reason:
            found.damaged.append((span, str(reason)))
            continue
        _place(value, span, found, first)
    return found


def _place(entry: Entry, span: Span, found: PlainScan, first: dict[str, Entry]) -> None:
    """File a valid entry under what it is: new, said again, or the same op_id with other content."""
    earlier = first.get(entry["op_id"])
    if earlier is None:
        first[entry["op_id"]] = entry
        found.entries.append(entry)
        found.spans.append(span)
    elif exact(earlier) == exact(entry):
        found.duplicates.append(span)
    else:
        found.conflicts.append(span)


def scan_file(path: Path) -> PlainScan:
    """Read the whole log at `path`; a file that is not there is an empty log."""
    return scan(path.read_bytes() if path.exists() else b"")


def exact(value: object) -> str:
    """A value as text that differs wherever key order, type or digits differ (1, 1.0 and True are three)."""
    # As Python writes it: a seventh of the time that `json.dumps` takes, and half of what the tests compare goes here.
    return repr(value)


def exact_list(values: Any) -> list[str]:
    """The exact texts of several values."""
    return [exact(value) for value in values]


def total_order(entries: list[Entry]) -> list[Entry]:
    """The order that is the same on every replica."""
    return sorted(entries, key=lambda entry: (entry["lamport_ts"], entry["actor_id"], entry["op_id"]))


def delta(entries: list[Entry], domain: str) -> Entry:
    """What `to_structured_delta` must say of a slice of the log."""
    ops = [entry["domain_op"] for entry in total_order(entries) if entry["domain"] == domain]
    kinds = Counter(op["op"] for op in ops)
    summary = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds)) or "no ops"
    return {"domain": domain, "ops": ops, "summary": summary}


def _at(value: Any, path: str) -> list[Any]:
    """What stands at a path, in a list; a key that holds dots goes before one that does not."""
    parts = path.split(".")
    if isinstance(value, list):
        number, rest = parts[0], ".".join(parts[1:])
        if re.fullmatch("[0-9]{1,9}", number) and int(number) < len(value):
            return _at(value[int(number)], rest) if len(parts) > 1 else [value[int(number)]]
    if isinstance(value, dict):
        if path in value:
            return [value[path]]
        for dots in range(1, len(parts)):
            key, rest = ".".join(parts[:dots]), ".".join(parts[dots:])
            if key in value and (found := _at(value[key], rest)):
                return found
    return []


def _same(value: Any, other: Any) -> bool:
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)


def select(
    entries: list[Entry],
    *,
    domain: str | Collection[str] | None = None,
    actor_id: str | Collection[str] | None = None,
    intent_id: str | Collection[str] | None = None,
    reservation_id: str | Collection[str] | None = None,
    not_actor_id: str | Collection[str] = (),
    not_domain: str | Collection[str] = (),
    where: Entry | None = None,
    min_lamport_ts: int | None = None,
    max_lamport_ts: int | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """What `query` must answer, by looking at every entry."""
    wanted = {
        "domain": domain,
        "actor_id": actor_id,
        "intent_id": intent_id,
        "reservation_id": reservation_id,
    }
    named = {name: [value] if isinstance(value, str) else value for name, value in wanted.items() if value is not None}
    not_actors = [not_actor_id] if isinstance(not_actor_id, str) else not_actor_id
    not_domains = [not_domain] if isinstance(not_domain, str) else not_domain
    low = 0 if min_lamport_ts is None else min_lamport_ts
    high = MAX_LAMPORT_TS if max_lamport_ts is None else max_lamport_ts
    chosen = [
        entry
        for entry in entries
        if all(entry[name] in value for name, value in named.items())
        and low <= entry["lamport_ts"] <= high
        and entry["actor_id"] not in not_actors
        and entry["domain"] not in not_domains
        and all(_same(_at(entry["domain_op"], path), [value]) for path, value in (where or {}).items())
    ]
    return chosen if limit is None else chosen[:limit]


def tally(entries: list[Entry], name: str) -> dict[str, int]:
    """How many entries there are of each value of a field."""
    return dict(Counter(entry[name] for entry in entries))


def highest_lamport_ts(entries: list[Entry]) -> int:
    """The highest timestamp, 0 for an empty log."""
    return max((entry["lamport_ts"] for entry in entries), default=0)
