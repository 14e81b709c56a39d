"""The write path: its clock (guarantee 8), and what counts as there already (guarantee 14)."""

from __future__ import annotations

import json
import mmap
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, LimitExceededError, OpEntry, OpIdConflictError, OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.samples import examples


def test_the_next_timestamp_is_above_every_one_given_out(log: OpLog) -> None:
    """Calls without an append in between still rise."""
    given_out = [log.next_lamport_ts() for _ in range(100)]
    assert given_out == sorted(set(given_out))
    log.append(entry(1, lamport_ts=given_out[5]))
    assert log.next_lamport_ts() > given_out[-1]


def test_the_next_timestamp_is_above_what_others_wrote(repo: Path, log: OpLog) -> None:
    """Another handle, a foreign program and a batch move the clock; a lower entry does not move it back."""
    log.append(entry(1, lamport_ts=10))
    with OpLog(repo, "s") as other:
        other.append(entry(2, lamport_ts=100))
        assert log.next_lamport_ts() > 100
        making.add_bytes(log.path, making.line(entry(3, lamport_ts=1_000)))
        assert log.next_lamport_ts() > 1_000
        other.append_many([entry(4, lamport_ts=5_000), entry(5, lamport_ts=3)])
        assert log.next_lamport_ts() > 5_000
    log.append(entry(6, lamport_ts=0))
    assert log.next_lamport_ts() > 5_000


def test_what_is_no_entry_moves_no_clock(log: OpLog) -> None:
    """Damaged lines, repeated op_ids with other content and an unfinished tail hold timestamps that do not count."""
    log.append(entry(1, lamport_ts=10))
    making.add_bytes(log.path, making.line(entry(1, lamport_ts=10_000)))
    making.add_bytes(log.path, making.line(entry(2, lamport_ts=20_000)).replace(b"ada", b"\xff\xff\xff"))
    making.add_bytes(log.path, making.line(entry(3, lamport_ts=30_000))[:-1])
    assert log.next_lamport_ts() == 11


def test_a_reopened_log_goes_on_above_its_highest_timestamp(repo: Path) -> None:
    """Highest, not last: with and without the index."""
    with OpLog(repo, "s") as log:
        log.append_many([entry(1, lamport_ts=77), entry(2, lamport_ts=5)])
    with OpLog(repo, "s") as log:
        assert log.next_lamport_ts() == 78
    making.drop_index(repo)
    with OpLog(repo, "s") as log:
        assert log.next_lamport_ts() == 78


@given(
    st.lists(st.integers(0, 2**53 - 2), min_size=1, max_size=12),
    st.lists(st.integers(0, 2**53 - 2), min_size=1, max_size=12),
)
@examples(30)
def test_guarantee_8_after_a_merge_the_clock_continues_from_the_higher_of_both(
    mine: list[int], theirs: list[int]
) -> None:
    """The next timestamp is max(a, b) + 1, a and b being the highest of the two logs."""
    with (
        making.fresh_repo() as repo,
        OpLog(repo, "a", max_lamport_jump=None) as one,
        OpLog(repo, "b", max_lamport_jump=None) as two,
    ):
        one.append_many([entry(number, lamport_ts=stamp) for number, stamp in enumerate(mine, 1)])
        two.append_many([entry(number, lamport_ts=stamp) for number, stamp in enumerate(theirs, 100)])
        one.merge(two)
        assert one.next_lamport_ts() == max(*mine, *theirs) + 1


def test_guarantee_8_a_merge_counts_what_this_handle_gave_out(repo: Path) -> None:
    """A timestamp given out before the merge is not given out again after it."""
    with OpLog(repo, "a") as one, OpLog(repo, "b") as two:
        two.append(entry(1, lamport_ts=3))
        given_out = [one.next_lamport_ts() for _ in range(10)]
        one.merge(two)
        assert one.next_lamport_ts() > max(given_out)


def test_the_end_of_the_range_is_an_error_not_a_wrap(log: OpLog) -> None:
    """After 2**53-1 there is no next timestamp: LimitExceededError, nothing written, reads go on."""
    making.add_bytes(log.path, making.line(entry(1, lamport_ts=2**53 - 2)))
    assert log.next_lamport_ts() == 2**53 - 1
    log.append(entry(2, lamport_ts=2**53 - 1))
    before = log.path.read_bytes()
    with pytest.raises(LimitExceededError):
        log.next_lamport_ts()
    with pytest.raises(LimitExceededError):
        log.record("ada", "music", {"op": "insert"})
    assert log.path.read_bytes() == before
    log.append(entry(3, lamport_ts=5))
    making.assert_same_as_scan(log, log.path)


def test_wall_clocks_order_nothing(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wall clock running backwards, timestamps and arrival order still rise and created_at is only told."""
    made = [log.record("ada", "music", {"op": "insert"})]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10**8)
    made.append(log.record("ada", "music", {"op": "insert"}))
    log.append_many(
        [
            entry(1, lamport_ts=50, created_at="2099-01-01T00:00:00+00:00"),
            entry(2, lamport_ts=51, created_at="1999-01-01T00:00:00+00:00"),
        ]
    )
    scanned = making.assert_same_as_scan(log, log.path)
    assert [each["lamport_ts"] for each in scanned.entries] == sorted(each["lamport_ts"] for each in scanned.entries)
    ops = log.to_structured_delta("music")["ops"]
    assert len(ops) == 4


def test_handles_in_threads_that_share_a_session_each_rise(repo: Path) -> None:
    """Every thread with a handle of its own sees its own timestamps rise strictly, and every op is there."""

    def work(name: str) -> None:
        with OpLog(repo, "s") as log:
            for _ in range(80):
                log.record(name, "music", {"op": "insert"})

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scanned = plain_scan.scan_file(making.log_path(repo))
    assert plain_scan.tally(scanned.entries, "actor_id") == {f"t{number}": 80 for number in range(4)}
    for name in ("t0", "t1", "t2", "t3"):
        own = [each["lamport_ts"] for each in scanned.entries if each["actor_id"] == name]
        assert own == sorted(set(own))


def test_a_batch_moves_the_clock_to_its_highest(log: OpLog) -> None:
    """After append_many the next timestamp is above all of the batch."""
    log.append_many(entries(10, start=90))
    assert log.next_lamport_ts() == 100


def nuls_over(path: Path, numbers: Iterable[int], *, newline: bool = False) -> None:
    """Write NULs over the middle of some lines, or over the newline at their end, as a crash of the machine may."""
    spans = plain_scan.scan_file(path).spans
    with path.open("r+b") as file:
        for number in numbers:
            file.seek(spans[number].byte_offset + (spans[number].length if newline else 30))
            file.write(bytes(1 if newline else 50))


def append_again(log: OpLog, made: OpEntry) -> object:
    """Append the entry by itself."""
    return log.append(made)


def append_many_again(log: OpLog, made: OpEntry) -> object:
    """Append the entry in a batch with one that is there and one that is not."""
    return log.append_many([*entries(1), made, entry(500)]) == 2


def record_again(log: OpLog, made: OpEntry) -> object:
    """Record the same operation under its op_id."""
    again = log.record(made["actor_id"], made["domain"], made["domain_op"], op_id=made["op_id"])
    return again["created_at"] != made["created_at"]


def merge_again(log: OpLog, made: OpEntry) -> object:
    """Merge a replica that has it."""
    with OpLog(log.path.parents[3], "replica") as replica:
        replica.append_many([*entries(1), made])
        return log.merge(replica) == 1


@pytest.mark.parametrize("again", [append_again, append_many_again, record_again, merge_again])
@pytest.mark.parametrize("damaged", [2, 7, 19])
@pytest.mark.parametrize("index", ["in use", "closed", "dropped"])
@pytest.mark.parametrize("newline", [False, True], ids=["line", "newline"])
def test_guarantee_14_an_op_whose_line_was_damaged_is_written_again(
    repo: Path, again: Callable[[OpLog, OpEntry], object], damaged: int, index: str, newline: bool
) -> None:
    """Row 22: it is not "there already": it is added, and returned from then on, by the engine and by a plain scan."""
    made = entries(20)
    log = OpLog(repo, "s")
    log.append_many(made)
    assert log.get(made[damaged]["op_id"]) == made[damaged]
    if index != "in use":
        log.close()
    # A newline joins the line to the next one, which is lost too.
    nuls_over(log.path, [damaged - newline], newline=newline)
    if index == "dropped":
        making.drop_index(repo)
    if index != "in use":
        log = OpLog(repo, "s")
    with log:
        assert again(log, made[damaged])
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.op_ids.count(made[damaged]["op_id"]) == 1
        assert scanned.conflicts == scanned.duplicates == []
        size = log.path.stat().st_size
        assert log.append(made[damaged]) is False if again is not record_again else True
        assert log.path.stat().st_size == size
        making.drop_index(repo)
        making.assert_same_as_scan(log, log.path)


def test_guarantee_14_merge_writes_again_just_what_was_damaged(repo: Path) -> None:
    """Row 22: of thousands of entries, alone in their segments or next to each other: those and no others."""
    made = entries(5_000)
    lost = [*range(100, 4_900, 97), 1_000, 1_001, 1_002, 4_998]
    with OpLog(repo, "replica") as replica, OpLog(repo, "s") as log:
        replica.append_many(made)
        assert log.merge(replica) == len(made)
        nuls_over(log.path, lost)
        before = log.path.read_bytes()
        assert log.merge(replica) == len(set(lost))
        assert log.merge(replica) == 0
        assert log.path.read_bytes().startswith(before)
        scanned = making.assert_same_as_scan(log, log.path)
        assert sorted(scanned.op_ids) == sorted(each["op_id"] for each in made)
        assert scanned.conflicts == scanned.duplicates == []


def test_guarantee_14_another_content_under_a_damaged_op_is_taken(log: OpLog) -> None:
    """Row 22: what was there can't be read any more, so nothing can be held against it."""
    log.append_many(entries(5))
    nuls_over(log.path, [2])
    assert log.append(entry(3, actor_id="eve"))
    found = log.get(entry(3)["op_id"])
    assert found is not None
    assert found["actor_id"] == "eve"
    making.assert_same_as_scan(log, log.path)


def race(repo: Path, rounds: int, work: Callable[[OpLog, str, int], bool]) -> dict[str, list[bool]]:
    """Let two processes do each round at the same moment; what `work` gave in each, by the name of the process."""
    at = mmap.mmap(-1, 16)  # Each process counts its rounds in a half of it that the other one sees.

    def run(name: str, mine: int) -> None:
        done = []
        with OpLog(repo, "s") as log:
            for number in range(1, rounds + 1):
                at[mine : mine + 8] = number.to_bytes(8, "little")
                while int.from_bytes(at[8 - mine : 16 - mine], "little") < number:
                    time.sleep(0)
                done.append(work(log, name, number))
        (repo / name).write_text(json.dumps(done))

    running = [children.fork(partial(run, name, mine)) for name, mine in (("ada", 0), ("eve", 8))]
    assert [children.wait_for_child(child) for child in running] == [0, 0]
    return {name: json.loads((repo / name).read_text()) for name in ("ada", "eve")}


def acknowledged(log: OpLog, name: str, number: int, *, batch: bool) -> bool:
    """Whether an entry of one's own under a common op_id was taken."""
    made = [entry(number, actor_id=name)]
    if batch:
        made += [entry(None, actor_id=name) for _ in range(3)]
    try:
        log.append_many(made) if batch else log.append(made[0])
    except OpIdConflictError:
        return False
    return True


@pytest.mark.process
@pytest.mark.parametrize("batch", [False, True], ids=["append", "append_many"])
def test_two_contents_of_one_op_id_at_the_same_moment_are_never_both_acknowledged(repo: Path, batch: bool) -> None:
    """Row 47: whose line is first in the file is told that it is there, the other one that it is not."""
    told = race(repo, 400, partial(acknowledged, batch=batch))

    scanned = plain_scan.scan_file(making.log_path(repo))
    first = {each["op_id"]: each["actor_id"] for each in scanned.entries}
    expected = {name: [first[op_id(number)] == name for number in range(1, 401)] for name in told}
    assert told == expected
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)


def recorded(log: OpLog, _name: str, number: int) -> bool:
    """Whether what is recorded under an op_id of both is what the log then holds."""
    made = log.record("ada", "music", {"op": "insert"}, op_id=op_id(number))
    return log.get(op_id(number)) == made


@pytest.mark.process
def test_one_message_recorded_by_two_processes_at_the_same_moment_is_there_once(repo: Path) -> None:
    """Row 47: both are told of the same entry, the first in the file."""
    told = race(repo, 400, recorded)

    assert told == {"ada": [True] * 400, "eve": [True] * 400}
    with OpLog(repo, "s") as log:
        assert making.assert_same_as_scan(log, log.path).op_ids == [op_id(number) for number in range(1, 401)]


def merge_of(log: OpLog, made: list[OpEntry]) -> int:
    """Merge a log of these entries, which another program wrote."""
    path = making.log_path(log.path.parents[3], "other")
    making.add_bytes(path, b"".join(map(making.line, made)))
    with OpLog(log.path.parents[3], "other") as other:
        return log.merge(other)


@pytest.mark.parametrize("take", [lambda log, made: log.append(made[-1]), OpLog.append_many, merge_of])
@pytest.mark.parametrize("stamp", [2**53 - 1, 2**52, 1_000 + 2**51 + 1])
def test_a_timestamp_far_above_all_others_is_refused(
    log: OpLog, take: Callable[[OpLog, list[OpEntry]], object], stamp: int
) -> None:
    """Row 31: nothing is written, the message says which entry it is, and record goes on."""
    log.append(entry(1, lamport_ts=1_000))
    before = log.path.read_bytes()
    with pytest.raises(LimitExceededError, match=rf"lamport_ts: {stamp} of {op_id(3)} .* above 1000, "):
        take(log, [entry(2), entry(3, lamport_ts=stamp)])
    assert log.path.read_bytes() == before
    assert log.record("ada", "music", {"op": "insert"})["lamport_ts"] == 1_001


def test_a_high_timestamp_that_is_there_already_raises_nothing(log: OpLog) -> None:
    """Row 31: what another program has put there is read, may be appended again, and what is below it is taken."""
    high = entry(1, lamport_ts=2**53 - 1)
    making.add_bytes(log.path, making.line(high))
    assert log.append(high) is False
    assert log.append_many([high, entry(2, lamport_ts=2**53 - 2)]) == 1
    making.assert_same_as_scan(log, log.path)


def test_timestamps_that_are_a_wall_clock_are_taken(log: OpLog) -> None:
    """Milliseconds and microseconds since 1970 are below the limit, first ones in their log."""
    for number, stamp in enumerate((1_767_312_000_000, 1_767_312_000_000_000), 1):
        assert log.append(entry(number, lamport_ts=stamp))
    assert log.next_lamport_ts() == 1_767_312_000_000_001


def test_the_largest_jump_can_be_set(repo: Path) -> None:
    """Row 31: so far and no farther; None takes all; what is no number is refused."""
    with OpLog(repo, "s", max_lamport_jump=10) as log:
        assert log.append(entry(1, lamport_ts=10))
        assert log.append_many([entry(2, lamport_ts=20), entry(3, lamport_ts=15)]) == 2
        with pytest.raises(LimitExceededError):
            log.append(entry(4, lamport_ts=31))
        for _ in range(5):
            log.next_lamport_ts()
        assert log.append(entry(4, lamport_ts=31)), "what was given out counts"
    with OpLog(repo, "s", max_lamport_jump=None) as log:
        assert log.append(entry(5, lamport_ts=2**53 - 1))
    for bad in (0, -1, 1.5, True, 2**53, "x"):
        with pytest.raises(InvalidArgumentError, match="max_lamport_jump"):
            OpLog(repo, "s", max_lamport_jump=bad)  # type: ignore[arg-type]
