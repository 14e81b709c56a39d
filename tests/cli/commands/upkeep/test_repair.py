"""The commands `repair` and `accept`: what is lost comes back, or is accepted, and nothing happens unasked."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from muse.cli.commands.upkeep import repair as upkeep
from muse.core.maintenance.findings import REMEDIES
from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.cli.running import filled, json_lines, muse


@pytest.fixture
def whole(repo: Path) -> bytes:
    """The log of a session of 12 operations, the first 8 of them committed, before anything befalls it."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(8))
        log.checkpoint("c1")
        log.append_many(making.entries(4, start=9))
    return making.log_bytes(repo)


@pytest.fixture
def replica(repo: Path, whole: bytes, tmp_path: Path) -> Path:
    """Another repository that has all of it."""
    with OpLog(repo, "s") as log, OpLog(tmp_path / "replica", "s") as other:
        other.merge(log)
    return tmp_path / "replica"


def starts(data: bytes) -> list[int]:
    """Where the lines of a log begin."""
    return [span.byte_offset for span in plain_scan.scan(data).spans]


def cut_at(repo: Path, whole: bytes, number: int) -> None:
    """The log ends where this line began."""
    os.truncate(making.log_path(repo), starts(whole)[number])


def op_ids_in(repo: Path) -> list[str]:
    """The operations of the log, by a plain scan."""
    return plain_scan.scan(making.log_bytes(repo)).op_ids


@pytest.mark.parametrize("source", ["a folder of a session", "a copy of the log without its last newline"])
def test_what_is_lost_comes_back_behind_what_is_there(
    repo: Path, whole: bytes, replica: Path, tmp_path: Path, source: str
) -> None:
    """In the old order; what was committed and is pending again is told. Every other source is in a recipe."""
    cut_at(repo, whole, 6)
    filled(repo, [making.entry(99)])
    there = making.log_path(replica).parent
    if source.startswith("a copy"):
        there = tmp_path / "copy.jsonl"
        there.write_bytes(whole[:-1])

    done = muse("repair", "s", "--from", there, "--yes", "--repo", repo)

    told = [line.split()[1] for line in done.stdout.splitlines() if "pending again" in line]
    pending = {each["op_id"] for each in json_lines(muse("replay", "s", "--repo", repo, "--json").stdout)}
    assert done.exit_code == muse("verify", "s", "--repo", repo).exit_code == 0, done.output
    assert op_ids_in(repo) == [making.op_id(number) for number in (*range(1, 7), 99, *range(7, 13))]
    assert told == [making.op_id(7), making.op_id(8)]
    assert pending > set(told)
    assert "2 of them pending again" in done.stderr


def test_what_append_would_refuse_comes_back(repo: Path, tmp_path: Path) -> None:
    """A line longer than the usual limit and a timestamp far above all, from another program, were there, and are."""
    entries = [making.entry(1, domain_op={"op": "x" * (17 << 20)}), making.entry(2, lamport_ts=2**53 - 9)]
    making.add_bytes(making.log_path(repo), b"".join(map(making.line, entries)))
    (tmp_path / "copy").write_bytes(making.log_bytes(repo))
    with OpLog(repo, "s") as log:
        assert len(log) == 2
    making.log_path(repo).write_bytes(b"")

    done = muse("repair", "s", "--from", tmp_path / "copy", "--yes", "--repo", repo)

    assert done.exit_code == 0, done.output
    assert op_ids_in(repo) == [making.op_id(1), making.op_id(2)]


def test_a_long_plan_keeps_its_other_rows_in_sight(
    repo: Path, whole: bytes, replica: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each action so many rows are shown; the rest is counted, as are the ten operations and the checkpoint left."""
    cut_at(repo, whole, 2)
    monkeypatch.setattr(upkeep, "MOST_LISTED", 3)

    unaided = muse("repair", "s", "--repo", repo)
    planned = muse("repair", "s", "--from", replica, "--repo", repo)

    actions = [line.split()[0] for line in planned.stdout.splitlines()[1:]]
    assert "to be done: nothing; 11 left as they are" in unaided.stderr
    assert [line.split()[0] for line in unaided.stdout.splitlines()[1:4]] == ["leave"] * 3
    assert actions == ["append"] * 3 + ["restore"]
    assert "7 further rows not shown" in planned.stderr


def test_what_the_source_lacks_stays_and_is_named(repo: Path, whole: bytes, replica: Path, tmp_path: Path) -> None:
    """The rest is taken; exit code 1, as something is damage still."""
    with OpLog(tmp_path / "half", "other name") as half:
        half.append_many(making.entries(11))
    making.log_path(repo).write_bytes(b"")
    arguments = ("--from", tmp_path / "half", "--from-session", "other name", "--yes", "--repo", repo)

    done = muse("repair", "s", *arguments)

    assert done.exit_code == 1
    assert op_ids_in(repo) == [making.op_id(number) for number in range(1, 12)]
    (stays,) = (line for line in done.stdout.splitlines() if line.startswith("leave"))
    assert making.op_id(12) in stays
    assert "damage found" in done.stderr


def test_record_is_restored_and_what_was_there_is_kept(repo: Path, whole: bytes) -> None:
    """checkpoint.json is again what it was; the file that it replaces has a name that is told."""
    path = making.log_path(repo).with_name("checkpoint.json")
    record = path.read_bytes()
    path.write_bytes(record[:20])

    done = muse("repair", "s", "--yes", "--repo", repo)

    assert (done.exit_code, path.read_bytes()) == (0, record), done.output
    (kept,) = path.parent.glob("checkpoint.json.*")
    assert kept.read_bytes() == record[:20]
    assert kept.name in done.stderr
    assert making.log_bytes(repo) == whole


def test_glued_lines_are_taken_apart(repo: Path, whole: bytes) -> None:
    """Two entries whose newline is gone stand in one damaged line; both are appended again, without another log."""
    at = starts(whole)[10]
    making.log_path(repo).write_bytes(whole[: at - 1] + whole[at:])

    done = muse("repair", "s", "--yes", "--repo", repo, "--json")

    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert (told["applied"], told["verify"]["ok"]) == (True, True)
    assert told["found_in_damage"] == [making.op_id(10), making.op_id(11)]
    assert set(op_ids_in(repo)) == set(plain_scan.scan(whole).op_ids)


def test_a_sound_session_is_left_alone(repo: Path, whole: bytes) -> None:
    """Nothing to do, exit code 0, nothing asked."""
    done = muse("repair", "s", "--repo", repo)

    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing" in done.stderr
    assert making.log_bytes(repo) == whole


def test_sources_that_can_not_help_are_refused(repo: Path, whole: bytes, replica: Path, tmp_path: Path) -> None:
    """The session itself, a session that is not there, and a file without an entry: said, and nothing is done."""
    making.log_path(repo).write_bytes(whole[:100])
    (tmp_path / "noise").write_bytes(b"\0" * 100)
    (tmp_path / "noise.gz").write_bytes(b"\x1f\x8b" + b"\0" * 100)
    refused: list[tuple[tuple[object, ...], int, str]] = [
        (("--from", repo), 2, "name another"),
        (("--from", making.log_path(repo).parent), 2, "name another"),
        (("--from", making.log_path(repo)), 2, "name another"),
        (("--from", replica, "--from-session", "gone"), 2, "no session 'gone'"),
        (("--from-session", "gone"), 2, "--from"),
        (("--from", tmp_path / "missing"), 2, "missing"),
        (("--from", tmp_path / "noise"), 1, "no entry"),
        (("--from", tmp_path / "noise.gz"), 1, "archive"),
    ]
    for arguments, exit_code, said in refused:
        done = muse("repair", "s", *arguments, "--yes", "--repo", repo)
        assert (done.exit_code, said in done.stderr) == (exit_code, True), (arguments, done.output)
    assert making.log_bytes(repo) == whole[:100]


def test_a_session_whose_folder_is_gone_is_made_again_by_what_is_named(
    repo: Path, whole: bytes, tmp_path: Path
) -> None:
    """Repair makes none of a copy of the log: it names the command that does."""
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(whole)
    shutil.rmtree(making.log_path(repo).parent)
    told = muse("repair", "s", "--from", copy, "--yes", "--repo", repo)
    assert (told.exit_code, "append makes it of a copy" in told.stderr) == (2, True)
    assert muse("append", "s", copy, "--repo", repo).exit_code == 0
    assert making.log_bytes(repo) == whole


def findings(repo: Path) -> list[dict[str, Any]]:
    """What verify finds."""
    found: list[dict[str, Any]] = json.loads(muse("verify", "s", "--repo", repo, "--json").stdout)["findings"]
    return found


def damage_in_two_places(repo: Path, whole: bytes) -> None:
    """Two pending lines are overwritten, not next to each other."""
    changed = bytearray(whole)
    for number in (8, 10):
        changed[starts(whole)[number] : starts(whole)[number] + 150] = bytes(150)
    making.log_path(repo).write_bytes(changed)


def test_checkpoint_is_set_back_only_when_the_loss_is_accepted(repo: Path, whole: bytes) -> None:
    """Then the session is replayed and committed as before; what is lost later is damage again."""
    cut_at(repo, whole, 5)
    path = making.log_path(repo).with_name("checkpoint.json")
    record = path.read_bytes()

    assert muse("repair", "s", "--yes", "--repo", repo).exit_code == 1
    assert path.read_bytes() == record
    assert muse("accept", "s", "operation-lost", "--why", "x", "--yes", "--repo", repo).exit_code == 0
    assert muse("repair", "s", "--yes", "--repo", repo).exit_code == 0
    filled(repo, [making.entry(500)])
    assert [each["op_id"] for each in json_lines(muse("replay", "s", "--repo", repo, "--json").stdout)] == [
        making.op_id(500)
    ]
    assert muse("checkpoint", "s", "c2", "--repo", repo).exit_code == muse("verify", "s", "--repo", repo).exit_code == 0
    cut_at(repo, whole, 3)
    assert muse("verify", "s", "--repo", repo).exit_code == 1


def test_a_finding_is_accepted_by_the_beginning_of_its_id(repo: Path, whole: bytes) -> None:
    """One of two is accepted, the other one is damage still, and that is said."""
    damage_in_two_places(repo, whole)
    first, second = findings(repo)
    length = next(n for n in range(1, 9) if first["id"][:n] != second["id"][:n])

    done = muse("accept", "s", first["id"][:length].upper(), "--why", "x", "--yes", "--repo", repo, "--json")

    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert (told["applied"], told["ok"], [each["id"] for each in told["findings"]]) == (True, False, [first["id"]])
    assert "1 finding" in done.stderr
    assert {each["id"]: each["severity"] for each in findings(repo)} == {first["id"]: "note", second["id"]: "damage"}


def test_who_accepts_is_the_user_if_nobody_else_is_named(
    repo: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name comes from the environment, as the user's other programs have it."""
    monkeypatch.setenv("LOGNAME", "hopper")
    damage_in_two_places(repo, whole)
    muse("accept", "s", "operation-lost", "--why", "x", "--yes", "--repo", repo)

    (accepted,) = json.loads(making.log_path(repo).with_name("accepted.json").read_text("utf-8"))["accepted"]
    assert accepted["by"] == "hopper"


def test_what_is_no_finding_or_can_be_mended_is_refused(repo: Path, whole: bytes) -> None:
    """Exit code 2 for an unknown id, one that may mean two, and a kind that has a remedy; no file is made."""
    damage_in_two_places(repo, whole)
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"")
    ids = [each["id"] for each in findings(repo)]
    for name, said in (
        ("zzzz", "no finding 'zzzz'"),
        ("", "no finding ''"),
        (next(each["id"] for each in findings(repo) if each["kind"] == "checkpoint-damaged"), "not for accepting"),
    ):
        done = muse("accept", "s", "operation-lost", name, "--why", "x", "--yes", "--repo", repo)
        assert (done.exit_code, said in done.stderr) == (2, True), done.output
    assert len(ids) == 3
    assert not making.log_path(repo).with_name("accepted.json").exists()


def test_a_beginning_that_several_ids_have_is_refused(repo: Path) -> None:
    """With more findings than there are hex digits, one digit means several; they are listed."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(40))
    data = making.log_bytes(repo)
    kept = [data[at:end] for at, end in zip(starts(data)[::2], starts(data)[1::2], strict=True)]
    making.log_path(repo).write_bytes(b"".join(kept))
    ids = sorted(each["id"] for each in findings(repo))
    first, second = next((a, b) for a, b in pairwise(ids) if a[0] == b[0])

    done = muse("accept", "s", first[0], "--why", "x", "--yes", "--repo", repo)

    assert done.exit_code == 2
    assert {first, second} <= set(done.stderr.replace(",", " ").replace(":", " ").split())


def test_accepting_again_changes_nothing(repo: Path, whole: bytes) -> None:
    """What is accepted already is passed over; exit code 0."""
    damage_in_two_places(repo, whole)
    arguments = ("accept", "s", "operation-lost", "--why", "x", "--yes", "--repo", repo)
    muse(*arguments)
    before = making.log_path(repo).with_name("accepted.json").read_bytes()

    again = muse(*arguments)

    assert again.exit_code == 0
    assert "nothing to accept" in again.stderr
    assert making.log_path(repo).with_name("accepted.json").read_bytes() == before


def test_what_was_accepted_comes_back_from_a_replica(repo: Path, whole: bytes, replica: Path) -> None:
    """Somebody finds a replica after all: repair takes from it; without one, nothing accepted is called lost again."""
    damage_in_two_places(repo, whole)
    muse("accept", "s", "operation-lost", "--why", "x", "--yes", "--repo", repo)

    alone = muse("repair", "s", "--repo", repo)
    done = muse("repair", "s", "--from", replica, "--yes", "--repo", repo)

    assert (alone.exit_code, alone.stdout) == (0, "")
    assert done.exit_code == 0
    assert set(op_ids_in(repo)) == set(plain_scan.scan(whole).op_ids)


def test_page_about_damage_is_printed() -> None:
    """`help recovery` prints docs/recovery.md, and any other page is wrong usage."""
    assert (
        muse("help", "recovery").stdout.strip() == (making.PROJECT / "docs" / "recovery.md").read_text("utf-8").strip()
    )
    assert muse("help", "everything").exit_code == 2


@pytest.mark.parametrize("kind", REMEDIES)
def test_what_to_do_about_a_kind_of_finding_is_printed_alone(kind: str) -> None:
    """From its heading in the page to the next one, by a plain search."""
    page = (making.PROJECT / "docs" / "recovery.md").read_text("utf-8")
    wanted = page.partition(f"\n### {kind}\n")[2].partition("\n##")[0]
    assert wanted
    assert muse("help", kind).stdout.strip() == f"### {kind}\n{wanted}".strip()


def test_help_without_a_topic_lists_the_commands() -> None:
    """As --help does."""
    assert muse("help").stdout == muse("--help").stdout


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "s"),
        ("delta", "s", "music"),
        ("checkpoint", "s", "c2"),
        ("count", "s", "--since-checkpoint"),
        ("verify", "s"),
        ("repair", "s"),
        ("accept", "s", "operation-lost", "--why", "x", "--yes"),
    ],
    ids=lambda words: words[0],
)
def test_command_that_fails_for_a_damaged_session_names_the_page(
    repo: Path, whole: bytes, command: tuple[str, ...]
) -> None:
    """Whoever meets the damage first reads where it is explained."""
    cut_at(repo, whole, 5)
    making.log_path(repo).with_name("accepted.json").write_bytes(b"")

    done = muse(*command, "--repo", repo)

    assert done.exit_code == 1
    assert "muse op-log help recovery" in done.stderr
