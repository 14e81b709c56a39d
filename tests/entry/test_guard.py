"""What stands in front of the write, by way of `OpLog(guard=…)`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest

from muse.core.op_log import InvalidEntryError, MuseError, OpEntry, OpLog, RefusedByGuardError, op_id_of
from tests import making
from tests.cli.running import logged
from tests.making import entries, entry


def no_tea(new: OpEntry) -> OpEntry:
    """Refuse what is about tea, change what is about milk, and let pass the rest."""
    about = new["domain_op"].get("address")
    if about == "tea":
        raise RefusedByGuardError("domain_op.address: no tea")
    return {**new, "domain_op": {**new["domain_op"], "address": "cream"}} if about == "milk" else new


def about(address: str) -> dict[str, Any]:
    """An operation on something to drink."""
    return {"op": "insert", "address": address}


def test_what_the_guard_returns_is_written_and_returned(repo: Path) -> None:
    """Changed or not, by every way of recording; a repeated one finds what it made of the first."""
    with OpLog(repo, "s", guard=no_tea) as log:
        made = [
            log.record("ada", "bar", about("milk")),
            log.record("ada", "bar", about("milk"), op_id=op_id_of("k")),
            log.record("ada", "bar", about("rum")),
        ]
        assert log.record("ada", "bar", about("milk"), op_id=op_id_of("k")) == made[1]
        assert log.append(entry(1, lamport_ts=7, domain_op=about("milk")))
        assert not log.append(entry(1, lamport_ts=7, domain_op=about("milk")))
        assert log.append_many([entry(2, lamport_ts=8, domain_op=about("milk"))]) == 1

    there = logged(repo)
    assert there[:3] == made
    assert [each["domain_op"]["address"] for each in there] == ["cream", "cream", "rum", "cream", "cream"]
    assert [each["lamport_ts"] for each in there] == [1, 2, 3, 7, 8]


def test_no_byte_is_written_where_it_refuses(repo: Path) -> None:
    """Of a batch neither: not even a folder is made; the entries are no part of the error."""
    tea = entry(2, domain_op=about("tea"))
    with OpLog(repo, "s", guard=no_tea) as log:
        for refused in (
            lambda: log.append(tea),
            lambda: log.append_many([entry(1), tea, entry(3)]),
            lambda: log.record("ada", "bar", about("tea")),
            lambda: log.record("ada", "bar", about("tea"), op_id=op_id_of("k")),
        ):
            with pytest.raises(RefusedByGuardError, match="no tea") as caught:
                refused()
            assert caught.value.entries == ()
            assert isinstance(caught.value, InvalidEntryError)
        assert making.tree(repo) == {}

        log.append(entry(5))
        assert log.append_many([entry(1), entry(3)]) == 2


def test_whatever_else_it_raises_passes_through_and_nothing_is_written(repo: Path) -> None:
    """A guard with a bug keeps entries out; it does not let them in."""
    failure = KeyError("mine")

    def broken(_entry: OpEntry) -> OpEntry:
        raise failure

    with OpLog(repo, "s", guard=broken) as log:
        with pytest.raises(KeyError) as caught:
            log.append_many(entries(3))
        assert caught.value is failure
        with pytest.raises(KeyError):
            log.record("ada", "bar", {})
    assert making.tree(repo) == {}


@pytest.mark.parametrize("returned", [None, "entry", [], entry(9), {**entry(1), "op_id": None}])
def test_it_returns_an_entry_with_the_same_op_id(repo: Path, returned: Any) -> None:
    """By its op_id a caller finds what it appended, and appends it again: anything else is refused, and named."""

    def returning(_entry: OpEntry) -> OpEntry:
        return cast("OpEntry", returned)

    with OpLog(repo, "s", guard=returning) as log:
        with pytest.raises(InvalidEntryError, match="guard: must return the entry"):
            log.append(entry(1))
        with pytest.raises(InvalidEntryError, match="guard: must return the entry"):
            log.append_many([entry(1)])
    assert making.tree(repo) == {}


def test_an_op_id_that_is_changed_in_place_is_noticed(repo: Path) -> None:
    """The entry that came in is asked for it first."""

    def renaming(new: OpEntry) -> OpEntry:
        new["op_id"] = making.op_id(77)
        return new

    with OpLog(repo, "s", guard=renaming) as log, pytest.raises(InvalidEntryError, match="same op_id"):
        log.append(entry(1))


def test_what_it_changed_is_checked(repo: Path) -> None:
    """A guard can't put anything into a log that could not be appended."""
    with OpLog(repo, "s", guard=lambda new: {**new, "actor_id": ""}) as log:
        with pytest.raises(InvalidEntryError, match="actor_id"):
            log.append(entry(1))
        with pytest.raises(InvalidEntryError, match="actor_id"):
            log.record("ada", "bar", {})


def test_it_may_use_the_log(repo: Path) -> None:
    """It reads and even records by the same handle, in the middle of every way of recording: nobody waits."""
    log = OpLog(repo, "s")

    def nosy(new: OpEntry) -> OpEntry:
        if new["domain"] != "audit":
            log.record("guard", "audit", {"op": "seen", "address": str(log.count(domain="music"))})
        return new

    with log:
        log._guard = nosy
        log.append(entry(1, lamport_ts=1))
        log.append_many([entry(2, lamport_ts=1)])
        log.record("ada", "music", {})
        log.record("ada", "music", {}, op_id=op_id_of("k"))
        assert [each["domain_op"]["address"] for each in log.query(domain="audit")] == ["0", "1", "2", "3"]


def test_other_replicas_entries_are_taken_over_unchanged_and_counted(
    repo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By merge and as lines; each once, however often it comes; the log says how many and which was the first."""
    with OpLog(tmp_path / "other", "s") as other, OpLog(repo, "s", guard=no_tea) as log:
        theirs = [entry(number, domain_op=about(("tea", "milk", "rum")[number % 3])) for number in range(9)]
        other.append_many(theirs)
        log.append(theirs[2])

        with caplog.at_level(logging.WARNING):
            assert log.merge(other) == 8
        assert log.would_refuse == 3
        assert f"3 taken over that the guard would have refused; the first is {theirs[0]['op_id']}" in caplog.text

        assert log.merge(other) == 0
        more = [entry(20, domain_op=about("tea")), theirs[0], entry(21, domain_op=about("tea"))]
        assert log.append_lines(b"".join(map(making.line, more)))[0] == 2
        assert log.would_refuse == 5
        assert log.merge(other) == 0

    by_op_id = {each["op_id"]: each for each in logged(repo)}
    assert all(by_op_id[each["op_id"]] == each for each in theirs + more)


def test_what_others_append_meanwhile_is_not_counted(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what was there before, known to this handle or not, nor what arrives at the same moment."""
    tea = [entry(number, domain_op=about("tea")) for number in range(4)]
    with (
        OpLog(tmp_path / "other", "s") as other,
        OpLog(repo, "s") as writer,
        OpLog(repo, "s", guard=no_tea) as log,
    ):
        other.append_many(tea[:2])
        assert len(log) == 0
        writer.append_many([tea[0], tea[2]])
        append = log._writer.append

        def append_after_another(*arguments: Any) -> int:
            writer.append(tea[3])
            return append(*arguments)

        monkeypatch.setattr(log._writer, "append", append_after_another)
        assert log.merge(other) == 1
        assert log.would_refuse == 1


def test_a_guard_that_fails_stops_no_merge_and_tells_no_text(
    repo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raised may hold what it is there to keep out: only its type is logged."""

    def broken(_entry: OpEntry) -> OpEntry:
        raise ValueError("hunter2")

    with OpLog(tmp_path / "other", "s") as other, OpLog(repo, "s", guard=broken) as log:
        other.append_many(entries(3))
        with caplog.at_level(logging.WARNING):
            assert log.merge(other) == 3
    assert log.would_refuse == 3
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_log_without_one_counts_nothing(repo: Path, tmp_path: Path) -> None:
    """`would_refuse` stays 0."""
    with OpLog(tmp_path / "other", "s") as other, OpLog(repo, "s") as log:
        other.append_many(entries(3))
        log.merge(other)
        assert log.would_refuse == 0


def test_the_error_is_a_refused_entry() -> None:
    """So that what handles other refusals handles this one."""
    assert issubclass(RefusedByGuardError, InvalidEntryError)
    assert issubclass(RefusedByGuardError, MuseError)
    assert issubclass(RefusedByGuardError, ValueError)
