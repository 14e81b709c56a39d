"""The save point that a host goes on from, and whether it is of the log that is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.bookkeeping.ledger import Position, SentLine
from muse.replicate.bookkeeping.save_point import SavePoint
from muse.replicate.wire.messages import op_id_of_line
from tests.making import entries, entry
from tests.samples import examples

NUMBERS = st.integers(0, 2**60)
POSITIONS = st.builds(Position, NUMBERS, NUMBERS, NUMBERS)


@given(POSITIONS, POSITIONS, NUMBERS, st.none() | st.builds(SentLine, st.binary(min_size=16, max_size=16), NUMBERS))
@examples(30)
def test_a_save_point_comes_back_as_it_was(
    resume: Position, seen: Position, sent_to: int, sent_op: SentLine | None
) -> None:
    """By way of JSON."""
    saved = SavePoint(resume, seen, sent_to, sent_op, "salt", 3, 4)
    assert SavePoint.from_json(json.loads(json.dumps(saved.to_json()))) == saved


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}', b'{"version": 1, "resume": 5}'])
def test_a_save_point_that_can_not_be_read_is_as_none(tmp_path: Path, data: bytes) -> None:
    """Everything is compared again."""
    folder = ReplicaFolder(tmp_path, "t", "s")
    folder.folder.mkdir(parents=True)
    assert folder.load() == SavePoint()
    folder.save(SavePoint(sent_to=7))
    assert folder.load() == SavePoint(sent_to=7)
    folder.path.write_bytes(data)
    assert folder.load() == SavePoint()


def cut_tail(log: OpLog) -> None:
    """The last line is gone."""
    data = log.path.read_bytes()
    log.path.write_bytes(data[: data.rfind(b"\n", 0, -1) + 1])


def other_order(log: OpLog) -> None:
    """The same lines in another order, as on another host."""
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[::-1]))


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (lambda _log: None, True),
        (lambda log: log.path.open("ab").close(), True),
        (cut_tail, False),
        (other_order, False),
        (lambda log: log.path.unlink(), False),
        (lambda log: log.path.write_bytes(b""), False),
    ],
)
def test_a_save_point_fits_only_the_log_that_it_was_made_of(
    tmp_path: Path, change: Callable[[OpLog], object], fits: bool
) -> None:
    """More at its end is no other log; less, or another order, is."""
    with OpLog(tmp_path, "s") as log:
        log.append_many(entries(5))
        lines, end = log.lines_after(0)
        saved = SavePoint(sent_to=end, sent_op=SentLine(op_id_of_line(lines[-1][2]), lines[-1][0]))
        log.append(entry(9))
        assert saved.fits(log)
    cut_tail(log)
    change(log)
    with OpLog(tmp_path, "s") as again:
        assert saved.fits(again) is fits
