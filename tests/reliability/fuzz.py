"""Fuzzing of the line decoder and of the checkpoint reader.

    python -m tests.reliability.fuzz --inputs 1000000 --seed 7

Valid lines and records are mutated with their structure in mind (keys said twice, other spellings of numbers
and texts, nesting, splices of two lines) and without it (bits, NULs, cuts); some inputs are plain noise. The
oracle is the strict parser of tests/plain_scan.py. Nothing but the library's own errors may come out, and no
input may take memory out of proportion to its size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from muse.core.checkpoint.record import read_record
from muse.core.entry.codec import decode_line, decode_plain_lines, parse_object
from muse.core.errors import DamagedCheckpointError, DamagedLineError, InvalidEntryError
from muse.core.op_log import OpLog, OpLogCheckpoint
from muse.core.options import MAX_NESTING
from tests import making, plain_scan
from tests.entry.test_columns import plain_columns
from tests.plain_scan import BOM, Damaged, exact
from tests.reliability.material import Material, digest_of, make, quick_folder, some_entries

BLANKS = b" \t\r"
_GOOD = making.entry(1)
_GOOD_LINE = orjson.dumps(_GOOD) + b"\n"
MEASURED_EVERY = 499
"""The memory of every how manyeth input is measured: tracing slows it down."""
PEAK_PER_BYTE = 160
"""Two bytes of text, "0,", are 8 in a list, and orjson reserves up to 256 for them while it writes."""
PEAK_BASE = 1 << 19
"""What nesting as deep as the limit takes, however short the line."""

TOKENS = [
    *(b"{}", b"[]", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"null", b"true", b"false"),
    *(b"NaN", b"Infinity", b"-Infinity", b"nan", b"1e400", b"-1e400", b"1e-400", b"-0", b"-0.0", b"0e0", b"1E5"),
    *(b"%d" % number for number in (2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1)),
    *(b"1.0", b"01", b"+1", b"1.", b".5", b"0x10", b"1e", b"1_000", b"9" * 400, b"0." + b"1" * 400, b"5e-324"),
    *(b"179769313486231580793e289", b"2.2250738585072011e-308", b"123456789012345678901234567890"),
    *(b'""', b'"\\ud800"', b'"\\udc00"', b'"\\ud834\\udd1e"', b'"\\u0000"', b'"\\/"', b'"\\x41"', b'"\\u12"', b'"\t"'),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"\xf0\x9d\x84\x9e", b"\0", b"\x1b"),
    *(BOM, b" ", b"\r", b"\t", b"\x0b", b"\x0c", b"\x85", b"\xc2\xa0", b"//", b"/**/", b"#", b"'"),
]


@dataclass
class Told:
    """What a run of the fuzzer found."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Told) -> None:
        """Add the findings of another process."""
        self.inputs += other.inputs
        self.outcomes += other.outcomes
        self.problems += other.problems


class Mutator:
    """Makes one input after the other out of valid lines; the same ones for the same seed."""

    def __init__(self, seed: int, valid: list[bytes]) -> None:
        self.random = random.Random(seed)
        self.valid = valid

    def make(self) -> bytes:
        """The next input, without newline."""
        chosen = self.random
        if chosen.random() < 0.03:
            return chosen.randbytes(chosen.randrange(200)).replace(b"\n", b"")
        data = chosen.choice(self.valid)
        for _ in range(chosen.choice((0, 1, 1, 1, 2, 3, 8))):
            data = chosen.choice(MUTATIONS)(self, data)
        return data.replace(b"\n", b" ")

    def place(self, data: bytes) -> int:
        """Somewhere in the data, its end included."""
        return self.random.randrange(len(data) + 1)

    def flip(self, data: bytes) -> bytes:
        """Flip a bit or some."""
        changed = bytearray(data or b"\0")
        for _ in range(self.random.choice((1, 1, 1, 2, 9))):
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def insert(self, data: bytes) -> bytes:
        """Put a token somewhere."""
        at = self.place(data)
        return data[:at] + self.random.choice(TOKENS) + data[at:]

    def replace_value(self, data: bytes) -> bytes:
        """Put a token in the place of a value."""
        at = data.find(b":", self.place(data)) + 1
        ends = [end for mark in b",}]" if (end := data.find(mark, at)) > 0]
        return data[:at] + self.random.choice(TOKENS) + data[min(ends, default=at) :]

    def cut(self, data: bytes) -> bytes:
        """Leave a piece out."""
        first, second = sorted((self.place(data), self.place(data)))
        return data[:first] + data[second:]

    def truncate(self, data: bytes) -> bytes:
        """Cut the end off."""
        return data[: self.place(data)]

    def splice(self, data: bytes) -> bytes:
        """Glue the end of another line to the beginning of this one."""
        other = self.random.choice(self.valid)
        return data[: self.place(data)] + other[self.place(other) :]

    def nuls(self, data: bytes) -> bytes:
        """Overwrite or insert a run of NULs."""
        at, run = self.place(data), self.random.choice((1, 16, 512))
        return data[:at] + bytes(run) + data[at + self.random.choice((0, run)) :]

    def duplicate_key(self, data: bytes) -> bytes:
        """Say a key twice, in the same spelling or another."""
        key = self.random.choice((b"op_id", b"lamport_ts", b"op", b"new", b"domain_op", b"position"))
        name = key if self.random.random() < 0.7 else b"\\u%04x" % key[0] + key[1:]
        at = data.find(b"{", self.place(data)) + 1 or 1
        return data[:at] + b'"' + name + b'":' + self.random.choice((b"1", b'"x"', b"null", b"{}")) + b"," + data[at:]

    def nest(self, data: bytes) -> bytes:
        """Nest a value deep, about as deep as the limit or far beyond."""
        depth = self.random.choice((3, MAX_NESTING - 3, MAX_NESTING - 2, MAX_NESTING - 1, MAX_NESTING, 300, 1_100))
        opening, closing_ = self.random.choice(((b"[", b"]"), (b'{"a":', b"}")))
        at = data.find(b":", self.place(data)) + 1
        return data[:at] + opening * depth + b"1" + closing_ * depth + b',"z":' + data[at:]

    def respell(self, data: bytes) -> bytes:
        """Write the same value as another program would: spaces, escapes, key order."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return data
        if isinstance(value, dict) and self.random.random() < 0.5:
            value = dict(reversed(value.items()))
        ascii_only, spaces = (
            self.random.random() < 0.5,
            self.random.choice(((",", ":"), (", ", ": "), (" , ", "\t:\r"))),
        )
        try:
            return json.dumps(value, ensure_ascii=ascii_only, separators=spaces).encode()
        except (ValueError, RecursionError):
            return data

    def field_of_other_kind(self, data: bytes) -> bytes:
        """Give a field a value of any kind, or leave it out."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return data
        if not isinstance(value, dict) or not value:
            return data
        name = self.random.choice(list(value))
        others: list[Any] = [
            None,
            True,
            0,
            -1,
            1.5,
            "",
            "x",
            [],
            {},
            [[]],
            2**53,
            "CD613E30-D8F1-4ADF-91B7-584A2265B1F5",
        ]
        value[name] = self.random.choice(others)
        if self.random.random() < 0.3:
            del value[name]
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def encode_otherwise(self, data: bytes) -> bytes:
        """Write it in another encoding."""
        encoding = self.random.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1"))
        return data.decode("latin-1").encode(encoding)

    def many(self, data: bytes) -> bytes:
        """Add very many small values."""
        piece = self.random.choice((b"[],", b"{},", b"0,", b'"",', b'"k":0,', b"1e5,", b"-1,"))
        at = data.find(b"[", self.place(data)) + 1
        return data[:at] + piece * self.random.choice((10, 1_000)) + b"0" + data[at:]

    def many_keys(self, data: bytes) -> bytes:
        """Add many different keys, the last one perhaps twice."""
        count = self.random.choice((5, 300))
        keys = b"".join(b'"k%d":0,' % number for number in range(count))
        twice = self.random.choice((b"", b'"k%d":1,' % (count - 1)))
        return b"{" + keys + twice + data[1:]


MUTATIONS: list[Callable[[Mutator, bytes], bytes]] = [
    *(Mutator.flip, Mutator.flip, Mutator.insert, Mutator.insert, Mutator.replace_value, Mutator.replace_value),
    *(Mutator.cut, Mutator.truncate, Mutator.splice, Mutator.nuls, Mutator.duplicate_key, Mutator.nest),
    *(Mutator.respell, Mutator.respell, Mutator.field_of_other_kind, Mutator.field_of_other_kind),
    *(Mutator.encode_otherwise, Mutator.many, Mutator.many_keys),
]


def deeper_than_the_limit(value: object) -> bool:
    """Whether arrays and objects nest deeper than a line may; without recursion."""
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    return depth > MAX_NESTING


def expected_object(body: bytes) -> Any:
    """The object by the strict plain parser; raises `Damaged`."""
    value = plain_scan.parse(body)
    if not isinstance(value, dict):
        raise Damaged("not an object")
    if deeper_than_the_limit(value):
        raise Damaged("nested too deep")
    return value


def expected_entry(line: bytes) -> str | None:
    """The exact text of the entry by the oracle; "" for a blank line, None for damage."""
    body = line.removeprefix(BOM)
    if not body.strip(BLANKS):
        return ""
    try:
        value = expected_object(body)
    except Damaged:
        return None
    return None if plain_scan.fault(value) else exact(value)


def check_line(line: bytes) -> str:
    """Decode one line and hold it against the oracle; the outcome, or raises AssertionError."""
    expected = expected_entry(line)
    outcome = reason = ""
    try:
        entry = decode_line(line + b"\n")
    except DamagedLineError as error:
        outcome, reason = "damage", str(error)
    if outcome:
        assert reason, "damage without a reason"
        assert expected is None, f"refused, but is an entry: {reason}"
    else:
        assert expected is not None, "decoded, but is damage"
        assert ("" if entry is None else exact(entry)) == expected, "decoded as another value"
        outcome = "blank" if entry is None else "entry"
    together = decode_plain_lines([_GOOD_LINE, line + b"\n", _GOOD_LINE])
    if together is not None:
        assert expected, "decoded together, but is no entry"
        plain = plain_columns([_GOOD, expected_object(line.removeprefix(BOM)), _GOOD])
        assert tuple(map(tuple, together)) == plain, "decoded together it is another"
    check_object(line.removeprefix(BOM).strip(BLANKS))
    return outcome


def check_object(body: bytes) -> None:
    """The same for the parser below the decoder."""
    try:
        wanted: str | None = exact(expected_object(body))
    except Damaged:
        wanted = None
    try:
        found: str | None = exact(parse_object(body))
    except InvalidEntryError:
        found = None
    assert found == wanted, "parse_object differs from the strict plain parser"


def check_memory(line: bytes) -> None:
    """Decoding takes memory in proportion to the line."""
    tracemalloc.start()
    try:
        decode_line(line)
    except DamagedLineError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= PEAK_BASE + PEAK_PER_BYTE * len(line), f"{peak} bytes for a line of {len(line)}"


class RecordChecker:
    """Holds the checkpoint reader against what the records must mean."""

    def __init__(self, folder: Path) -> None:
        self.material: Material = make(25, 8)
        self.path = self.material.put(folder).with_name("checkpoint.json")
        self.log = OpLog(folder, "s")
        scanned = plain_scan.scan(self.material.log)
        self.entries = scanned.spans
        self.said = sorted([*scanned.spans, *scanned.duplicates, *scanned.conflicts], key=lambda span: span.byte_offset)
        """Every line with an entry, repeated or not."""
        sound = json.loads(self.material.checkpoint)
        five = {name: sound[name] for name in ("session_id", "snapshot_id", "lamport_ts", "op_count", "created_at")}
        self.valid = [
            self.material.checkpoint.strip(),
            orjson.dumps(sound),
            orjson.dumps(five),
            *(orjson.dumps({**five, "op_count": count}) for count in (0, 3, 24, 25, 26)),
        ]

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def check(self, data: bytes) -> str:
        """Read one record, and fit it to its log."""
        self.path.write_bytes(data)
        # Or every record that is older than the furthest one so far would be refused.
        with closing(sqlite3.connect(self.path.with_name("index.db"), isolation_level=None)) as index:
            index.execute("DELETE FROM seen_checkpoint")
        try:
            record = read_record(self.path, "s")
        except DamagedCheckpointError as error:
            return self._refused(str(error))
        assert record is not None, "taken for no checkpoint"
        # The reader strips what Python takes for spaces, form feeds included: the meaning is the same.
        wanted = expected_object(data.strip())
        assert exact(record) == exact(wanted), "the record was read as another one"
        assert record["session_id"] == "s"
        assert self._digest_is_right(record)
        return self._fit(record)

    @staticmethod
    def _refused(reason: str) -> str:
        assert "checkpoint.json" in reason, reason
        return "refused record"

    def _fit(self, record: OpLogCheckpoint) -> str:
        try:
            again = self.log.read_checkpoint()
            pending = self.log.count(since_checkpoint=True)
        except DamagedCheckpointError:
            return "refused by its log"
        assert again == record
        if "byte_offset" in record:
            begin = record["byte_offset"]
        else:
            begin = self.said[record["op_count"]].byte_offset if record["op_count"] < len(self.said) else sys.maxsize
        assert pending == sum(span.byte_offset >= begin for span in self.entries)
        return "record"

    @staticmethod
    def _digest_is_right(record: OpLogCheckpoint) -> bool:
        return record.get("record_digest", "") in {"", digest_of(dict(record))}


def valid_lines() -> list[bytes]:
    """Entries as this library, as plain Python, and as other programs write them."""
    entries, _ = some_entries(30)
    rich: list[Any] = [
        {**making.entry(1), "further": [1, 2.5, None, True, {"é": "\u2028"}]},
        making.entry(2, parent_op_ids=[making.op_id(1), making.op_id(3)], actor_id="Zoë \U0001d11e"),
        making.entry(3, domain_op={}),
        making.entry(
            4, domain_op={"op": "mutate", "fields": {"pitch": {"old": 60, "new": 61.5}}, "n": [2**64 - 1, -(2**63)]}
        ),
        making.entry(5, lamport_ts=2**53 - 1, intent_id="\\ud834", reservation_id='"'),
        making.entry(6, domain_op={"op": "x", "list": [[], {}, [[]], 1e-7, 1e22, 0.1, -0.0]}),
    ]
    return [orjson.dumps(entry) for entry in entries] + [json.dumps(entry).encode() for entry in rich]


def problem(seed: int, number: int, data: bytes, error: BaseException) -> str:
    """One line about an input that went wrong."""
    shown = data if len(data) < 600 else data[:300] + b" ... " + data[-300:]
    return f"seed {seed}, input {number}: {type(error).__name__}: {error}: {shown!r}"


def run(inputs: int, seed: int) -> Told:
    """Try so many inputs, one in ten of them a checkpoint record."""
    told = Told()
    lines = Mutator(seed, valid_lines())
    with quick_folder() as folder, closing(RecordChecker(Path(folder))) as records:
        record_mutator = Mutator(seed + 1, records.valid)
        for number in range(inputs):
            told.inputs += 1
            data = b""
            try:
                if number % 10 == 9:
                    data = record_mutator.make()
                    told.outcomes[records.check(data)] += 1
                    continue
                data = lines.make()
                told.outcomes[check_line(data)] += 1
                if number % MEASURED_EVERY == 0:
                    check_memory(data)
                    told.outcomes["(memory measured)"] += 1
            except Exception as error:  # noqa: BLE001 - a foreign exception is what is looked for
                told.problems.append(problem(seed, number, data, error))
    return told


def _jobs(inputs: int, seed: int) -> Iterator[tuple[int, int]]:
    for number, start in enumerate(range(0, inputs, 20_000)):
        yield min(20_000, inputs - start), seed * 100_003 + 2 * number


def _work(job: tuple[int, int]) -> Told:
    return run(*job)


def main() -> int:
    """Fuzz on every core, and print the counts; 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    started = time.monotonic()
    told = Told()
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        for piece in pool.imap_unordered(_work, _jobs(chosen.inputs, chosen.seed)):
            told.add(piece)
            for line in piece.problems[:3]:
                print(line, flush=True)
    for outcome, count in sorted(told.outcomes.items()):
        print(f"{outcome:20} {count:>10,}")
    print(f"{told.inputs:,} inputs in {time.monotonic() - started:.0f} s, {len(told.problems)} wrong")
    return 1 if told.problems else 0


if __name__ == "__main__":
    sys.exit(main())
