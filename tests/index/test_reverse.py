"""Reading from the end: the newest arrival first, with every filter, and without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from muse.core.old_index.index import SEGMENT_LINES
from muse.core.op_log import InvalidArgumentError, OpLog
from muse.core.storage.log_file import LogFile
from tests import making, plain_scan
from tests.making import entries, entry
from tests.plain_scan import exact_list

MADE = 5 * SEGMENT_LINES // 2
FILTERS: list[dict[str, Any]] = [
    {},
    {"domain": "music"},
    {"domain": "absent"},
    {"actor_id": "rare"},
    {"actor_id": "bob", "domain": "code"},
    {"intent_id": "i1"},
    {"intent_id": ""},
    {"reservation_id": "r2", "intent_id": "i1"},
    {"min_lamport_ts": 100, "max_lamport_ts": 140},
    {"max_lamport_ts": 3},
    {"min_lamport_ts": MADE - 5, "actor_id": "ada"},
]


def fill(log: OpLog) -> None:
    """Folded segments of entries, damaged lines and duplicates, a checkpoint in the second, and a tail of each."""
    made = [
        entry(number, **{**each, "intent_id": ("", "i1", "i2")[number % 3], "reservation_id": f"r{number % 5}"})
        for number, each in enumerate(map(dict, entries(MADE)), 1)
    ]
    made[1500]["actor_id"] = made[40]["actor_id"] = "rare"
    log.append_many(made[:2500])
    making.add_bytes(log.path, b"no entry\n" + making.line(made[7]) + b"\n")
    log.append_many(made[2500:3000])
    log.checkpoint("one")
    log.append_many(made[3000:-60])
    making.add_bytes(log.path, b"no entry\n" + making.line(made[-70]) + b"\n")
    for each in made[-60:]:
        log.append(each)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpLog]:
    """One log for all questions of this file; nobody writes to it."""
    with OpLog(tmp_path_factory.mktemp("reverse"), "s") as log:
        fill(log)
        yield log


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_reverse_is_the_plain_scan_backwards(filled: OpLog, filters: dict[str, Any]) -> None:
    """With any filter, limit and checkpoint the answer is the end of the plain scan's, newest first."""
    scanned = plain_scan.scan_file(filled.path).entries
    expected = plain_scan.select(scanned, **filters)[::-1]
    pending = plain_scan.select(scanned[3000:], **filters)[::-1]
    assert exact_list(filled.query(reverse=True, **filters)) == exact_list(expected)
    assert exact_list(filled.query(reverse=True, since_checkpoint=True, **filters)) == exact_list(pending)
    for limit in (0, 1, 20, 61, SEGMENT_LINES + 1):
        assert exact_list(filled.query(reverse=True, limit=limit, **filters)) == exact_list(expected[:limit])


def test_reverse_of_a_rebuilt_index_is_the_same(repo: Path) -> None:
    """Where nothing is in the tail the answers are as before, and so are they when the next entries arrive."""
    with OpLog(repo, "s") as log:
        fill(log)
        log.rebuild_index()
        assert exact_list(log.query(reverse=True)) == exact_list(plain_scan.scan_file(log.path).entries[::-1])
        log.append(entry(99_999))
        assert exact_list(log.query(reverse=True)) == exact_list(plain_scan.scan_file(log.path).entries[::-1])


def test_a_torn_tail_is_not_given(repo: Path, log: OpLog) -> None:
    """What has no newline yet is no entry, from the end neither; an empty log has no last entry."""
    assert list(log.query(reverse=True)) == []
    log.append_many(entries(3))
    making.add_bytes(log.path, making.line(entry(4))[:-1])
    assert exact_list(log.query(reverse=True, limit=1)) == exact_list([entries(3)[-1]])


def test_what_arrives_and_folds_meanwhile_changes_no_answer(repo: Path, log: OpLog) -> None:
    """A query that is under way gives what had arrived when it began, however the index is moved about."""
    log.append_many(entries(SEGMENT_LINES + 300))
    for each in entries(1500, start=SEGMENT_LINES + 301):
        log.append(each)
    before = plain_scan.scan_file(log.path).entries[::-1]
    some: list[dict[str, Any]] = [{}, {"domain": "music"}]
    for filters in some:
        running = log.query(reverse=True, **filters)
        taken = list(islice(running, 100))
        with OpLog(repo, "s") as other:
            other.append_many(entries(700, start=10_000 + 1000 * len(filters)))
            other.rebuild_index()
        assert exact_list([*taken, *running]) == exact_list(plain_scan.select(before, **filters))
        before = plain_scan.scan_file(log.path).entries[::-1]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges of bytes that are read from any log."""
    seen: list[tuple[int, int]] = []
    read = LogFile.read

    def noting(file: LogFile, start: int, stop: int) -> bytes:
        seen.append((start, stop))
        return read(file, start, stop)

    monkeypatch.setattr(LogFile, "read", noting)
    return seen


@pytest.mark.parametrize("filters", [{}, {"domain": "music"}, {"min_lamport_ts": 5}], ids=str)
def test_the_last_entries_are_sought(filled: OpLog, reads: list[tuple[int, int]], filters: dict[str, Any]) -> None:
    """Of the log no more is read than the lines that are given."""
    wanted = plain_scan.exact_list(plain_scan.select(plain_scan.scan_file(filled.path).entries, **filters)[-20:])
    assert exact_list(filled.query(reverse=True, limit=20, **filters)) == wanted[::-1]
    assert min(start for start, _ in reads) > filled.path.stat().st_size - 2 * 20 * 500


def test_long_lines_are_read_in_bounded_pieces(repo: Path, log: OpLog, reads: list[tuple[int, int]]) -> None:
    """A page is bounded in bytes too: long lines come a few at a time."""
    made = [entry(number, domain_op={"op": "x", "text": "x" * 400_000}) for number in range(1, 12)]
    log.append_many(made)
    reads.clear()
    assert exact_list(log.query(reverse=True)) == exact_list(made[::-1])
    assert max(stop - start for start, stop in reads) < 1_300_000


@pytest.mark.parametrize("filters", [{"limit": -1}, {"domain": 5}], ids=str)
def test_bad_arguments_are_refused(log: OpLog, filters: dict[str, Any]) -> None:
    """The same arguments are refused as forward."""
    with pytest.raises(InvalidArgumentError):
        log.query(reverse=True, **filters)
