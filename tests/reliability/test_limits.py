"""Row 13 and the limits: lines, nesting, names and timestamps beyond them are refused or damage, in bounded memory."""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from muse.core.entry.codec import decode_line
from muse.core.errors import DamagedLineError
from muse.core.op_log import InvalidArgumentError, InvalidSessionIdError, LimitExceededError, OpLog
from muse.core.options import (
    DEFAULT_MAX_APPEND_BYTES,
    MAX_LAMPORT_TS,
    MAX_LINE_BYTES,
    MAX_NESTING,
    MAX_WRITE_BYTES,
)
from tests import children, making, plain_scan, small_index
from tests.making import add_bytes, entry, line, op_id
from tests.reliability import faults
from tests.reliability.faults import filled, run_child

MIB = 1 << 20


def of_length(size_bytes: int, number: int = 1) -> Any:
    """An entry whose line, as the engine writes it, takes exactly so many bytes."""
    bare = entry(number, domain_op={"text": ""})
    spare = size_bytes - len(json.dumps(bare, separators=(",", ":"))) - 1
    return entry(number, domain_op={"text": "x" * spare})


@pytest.mark.parametrize("limit", [None, 1_000, 70_000])
def test_line_is_as_long_as_the_limit_or_one_byte_longer(repo: Path, limit: int | None) -> None:
    """Row 13: exactly the limit is appended and read; one byte more is refused with the sizes and the way out."""
    options = {} if limit is None else {"max_line_bytes": limit}
    size = limit or DEFAULT_MAX_APPEND_BYTES
    with OpLog(repo, "s", **options) as log:  # type: ignore[arg-type]
        assert log.append(of_length(size)) is True
        assert log.path.stat().st_size == size
        for batch in ([of_length(size + 1, 2)], [entry(3), of_length(size + 1, 2)]):
            with pytest.raises(LimitExceededError, match=f"{size + 1} bytes.*{size}.*max_line_bytes"):
                log.append_many(batch)
        assert log.path.stat().st_size == size
        assert [each["op_id"] for each in log] == [op_id(1)]
        assert log.append(entry(4)) is True


@pytest.mark.parametrize("limit", [0, -1, MAX_LINE_BYTES + 1, 1.5, "16", True, None])
def test_limit_of_a_line_must_be_a_number_that_readers_keep_to(repo: Path, limit: Any) -> None:
    """Row 13: no handle may append what no handle reads."""
    with pytest.raises(InvalidArgumentError, match="max_line_bytes"):
        OpLog(repo, "s", max_line_bytes=limit)


def test_line_appended_with_a_larger_limit_is_read_by_every_handle(repo: Path) -> None:
    """Row 13: a handle with the usual limit reads, gets, merges and verifies a line of 20 MiB."""
    with OpLog(repo, "s", max_line_bytes=MAX_LINE_BYTES) as log:
        log.append(of_length(20 * MIB))
        log.append(entry(2))
    with OpLog(repo, "s", max_line_bytes=1_000) as log:
        assert [each["op_id"] for each in log] == [op_id(1), op_id(2)]
        found = log.get(op_id(1))
        assert found is not None
        assert len(found["domain_op"]["text"]) > 19 * MIB
        assert log.verify().ok


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to measure memory")

HALF_OF_IT_KIB = 150 * 1024


@pytest.mark.process
@needs_proc
@pytest.mark.parametrize("ended", [True, False])
def test_line_beyond_the_limit_takes_bounded_memory(repo: Path, ended: bool) -> None:
    """Row 13: a line or torn tail of 300 MiB is passed over and reported, and half of it is never in memory."""
    data = filled(repo, 3)
    path = making.log_path(repo)
    making.drop_index(repo)
    os.truncate(path, len(data) + 2 * HALF_OF_IT_KIB * 1024)
    if ended:
        add_bytes(path, b"\n" + line(entry(4)))
    told = run_child(repo, "peak", "read", "append:5", "get:5", "verify", "peak")
    path.unlink()
    assert faults.errors(told) == {}
    assert told[1]["result"] == [op_id(number) for number in ((1, 2, 3, 4) if ended else (1, 2, 3))]
    assert told[4]["result"] == ["damaged-line"]
    assert told[-1]["result"] - told[0]["result"] < HALF_OF_IT_KIB


def test_limits_are_those_of_the_documents() -> None:
    """Row 13: a changed limit changes the format: what one version wrote, another one would not read."""
    assert (MAX_LINE_BYTES, DEFAULT_MAX_APPEND_BYTES, MAX_NESTING) == (64 * MIB, 16 * MIB, 200)
    assert MAX_LAMPORT_TS == 2**53 - 1


def nested(depth: int, kind: str) -> Any:
    """A `domain_op` in which, the entry counted, arrays or objects nest so deep."""
    value: Any = 1
    for _ in range(depth - 2):
        value = [value] if kind == "arrays" else {"a": value}
    return {"op": value}


@pytest.mark.parametrize("kind", ["arrays", "objects"])
def test_nesting_is_as_deep_as_the_limit_or_one_deeper(repo: Path, kind: str) -> None:
    """Row 13: 200 levels are appended and read back; 201 are refused on append, and damage on read."""
    with OpLog(repo, "s") as log:
        deepest = entry(1, domain_op=nested(MAX_NESTING, kind))
        assert log.append(deepest) is True
        too_deep = entry(2, domain_op=nested(MAX_NESTING + 1, kind))
        with pytest.raises(LimitExceededError, match=str(MAX_NESTING)):
            log.append(too_deep)
        add_bytes(log.path, line(too_deep) + line(entry(3)))
        assert plain_scan.exact_list(log) == plain_scan.exact_list([deepest, entry(3)])
        (finding,) = log.verify().findings
        assert str(MAX_NESTING) in finding.reason


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b"[["])
@pytest.mark.parametrize("closed", [True, False])
def test_hundred_thousand_nested_values_are_damage(repo: Path, opening: bytes, closed: bool) -> None:
    """Row 13: no recursion error and no crash, on append, read, rebuild and verify."""
    body = opening * 100_000
    if closed:
        body += b"1" + bytes(reversed(body.replace(b'"a":', b""))).translate(bytes.maketrans(b"[{", b"]}"))
    data = line(entry(2)).replace(b'"ada"', b'"ada", "x": ' + body)
    add_bytes(making.log_path(repo), line(entry(1)) + data + line(entry(3)))
    with OpLog(repo, "s") as log:
        assert [each["op_id"] for each in log] == [op_id(1), op_id(3)]
        assert log.verify().counts == {"damaged-line": 1}
        log.rebuild_index()
        assert len(log) == 2
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(LimitExceededError):
            log.append(entry(4, domain_op={"op": deep}))
        while isinstance(deep, list):  # freed step by step: CPython frees nested lists by recursion
            deep = deep.pop()


@pytest.mark.process
@pytest.mark.parametrize("place", ["first", "last", "nested", "everywhere"])
def test_line_of_very_many_keys_takes_time_in_proportion(place: str) -> None:
    """Row 13: 200,000 keys, one of them twice, are refused at once: a CPU limit of 60 s would end the child."""
    keys = [b'"k%d":0' % number for number in range(200_000)]
    twice = {
        "first": [*keys, keys[0]],
        "last": [*keys, keys[-1]],
        "nested": [b'"n":{' + b",".join([*keys, keys[-1]]) + b"}"],
        "everywhere": keys[:100_000] * 2,
    }[place]

    def decode() -> object:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        try:
            decode_line(b"{" + b",".join(twice) + b"}")
        except DamagedLineError as error:
            return str(error)
        return ""

    assert "stands twice" in str(children.in_forked_child(decode))


@pytest.mark.parametrize(("lamport_ts", "taken"), [(MAX_LAMPORT_TS, True), (MAX_LAMPORT_TS + 1, False), (-1, False)])
def test_timestamp_at_its_bounds(repo: Path, lamport_ts: int, taken: bool) -> None:
    """Row 13: 2^53-1 is the last one; beyond it entries are refused, and the clock says what to do."""
    with OpLog(repo, "s", max_lamport_jump=None) as log:
        if not taken:
            with pytest.raises(LimitExceededError, match="lamport_ts"):
                log.append(entry(1, lamport_ts=lamport_ts))
            assert not log.exists()
            return
        log.append(entry(1, lamport_ts=lamport_ts))
        for clock in (log.next_lamport_ts, lambda: log.record("ada", "music", {})):
            with pytest.raises(LimitExceededError, match="new session"):
                clock()
        assert log.checkpoint("x")["lamport_ts"] == MAX_LAMPORT_TS
        assert len(log) == 1


@pytest.mark.parametrize("name", ["x" * 255, "x" * 256, "é" * 42, "é" * 43, "x" * 100_000])
def test_session_id_at_its_longest(repo: Path, name: str) -> None:
    """Row 16: 255 bytes once encoded are a folder, one more is refused before anything is made."""
    encoded = sum(1 if letter.isascii() else 3 * len(letter.encode()) for letter in name)
    if encoded > 255:
        with pytest.raises(InvalidSessionIdError, match="255"):
            OpLog(repo, name)
        assert making.tree(repo) == {}
        return
    with OpLog(repo, name) as log:
        log.append(entry(1))
        log.checkpoint("x")
        assert log.verify().ok


@pytest.mark.parametrize("size", [1, 1_000, 100_000, 2_000_000])
def test_snapshot_id_is_read_back_or_refused(repo: Path, size: int) -> None:
    """Row 17: no checkpoint is granted that can't be read, and a refused one leaves the old record."""
    with OpLog(repo, "s") as log:
        log.append(entry(1))
        log.checkpoint("old")
        log.append(entry(2))
        try:
            log.checkpoint("x" * size)
        except InvalidArgumentError:
            assert size > 1_000
        record = log.read_checkpoint()
        assert record is not None
        assert record["snapshot_id"] in {"old", "x" * size}
        assert len(log.replay_since_checkpoint()) == 2 - record["op_count"]


@pytest.mark.parametrize("torn", [b"", b'{"op_id": "'])
@pytest.mark.parametrize("over", [-1, 0, 1_000])
def test_batch_is_as_long_as_one_write_takes_or_longer(repo: Path, over: int, torn: bytes) -> None:
    """Row 58: refused before a byte is written, with the sizes and what to do; in parts it is appended."""
    made = making.entries(30)
    with OpLog(repo, "measured") as log:
        log.append_many(made)
        size = log.path.stat().st_size
    with small_index.limits(MAX_WRITE_BYTES=size - over), OpLog(repo, "s") as log:
        add_bytes(log.path, torn)
        if over < 0 and not torn:
            assert log.append_many(made) == 30
        else:
            with pytest.raises(LimitExceededError, match=rf"{size + bool(torn)} bytes.*{size - over}.*in parts"):
                log.append_many(made)
            assert making.log_bytes(repo) == torn
            assert log.append_many(made[:15]) == 15
            # What is there already takes no room in the write.
            assert log.append_many(made) == 15
        assert making.assert_same_as_scan(log, log.path).op_ids == [each["op_id"] for each in made]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_limit_of_a_write_is_the_kernels() -> None:
    """Row 58: write(2) takes exactly so many bytes of what is longer; the memory is never touched."""
    sink = os.open(os.devnull, os.O_WRONLY)
    with mmap.mmap(-1, MAX_WRITE_BYTES + mmap.PAGESIZE) as memory:
        assert os.write(sink, memory) == MAX_WRITE_BYTES
    os.close(sink)
