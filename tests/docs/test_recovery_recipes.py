"""The recipes of docs/recovery.md: real damage, then what the page says, then a plain scan of what the session has."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpEntry, OpLog, export_session
from tests import making, plain_scan
from tests.cli.running import muse
from tests.docs.pages import headings, page, section
from tests.docs.running import Reader, blocks_in

pytestmark = pytest.mark.process

RECOVERY = page("docs/recovery.md")
PENDING_AGAIN = "Operations that are pending again"


@dataclass(frozen=True)
class Session:
    """The session of the recipes: four operations are committed, two are pending; a replica and a backup have all."""

    repo: Path
    replica: Path
    whole: bytes
    """Its log before anything befalls it."""

    @property
    def path(self) -> Path:
        """Its log."""
        return making.log_path(self.repo, "friday")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What it held, by a plain scan."""
        return plain_scan.scan(self.whole).entries

    def start(self, number: int) -> int:
        """Where a line began."""
        return plain_scan.scan(self.whole).spans[number].byte_offset

    def beside(self, name: str) -> Path:
        """Another file of the session."""
        return self.path.with_name(name)

    def findings(self) -> dict[str, str]:
        """The kinds that verify finds, each with its worst severity."""
        found = json.loads(muse("verify", "friday", "--repo", self.repo, "--json").stdout)["findings"]
        return {each["kind"]: each["severity"] for each in reversed(found)}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A sound session, and everything that the recipes take for granted."""
    repo, replica = tmp_path / "project", tmp_path / "replica"
    with OpLog(repo, "friday") as log, OpLog(replica, "friday") as other:
        for number in range(6):
            log.record("ada", "code", {"op": "insert", "address": "main.py", "position": number})
            if number == 3:
                log.checkpoint("snapshot-1")
        other.merge(log)
        with (repo / "friday.tar.gz").open("wb") as archive:
            export_session(log, archive)
        (repo / "backup").mkdir()
        shutil.copy(log.path, repo / "backup")
        return Session(repo, replica, log.path.read_bytes())


def nothing(_session: Session) -> None:
    """No damage."""


def cut(session: Session) -> None:
    """Cut in the middle of a committed line."""
    os.truncate(session.path, session.start(2) + 40)


def cut_above(session: Session) -> None:
    """Cut where all that is lost was pending."""
    os.truncate(session.path, session.start(5))


def emptied(session: Session) -> None:
    """Emptied."""
    session.path.write_bytes(b"")


def deleted(session: Session) -> None:
    """Deleted."""
    session.path.unlink()


def put_back(session: Session) -> None:
    """An older copy was put back, and somebody went on."""
    session.path.write_bytes(session.whole[: session.start(2)])
    with OpLog(session.repo, "friday") as log:
        log.append(making.entry(7))


def overwritten(session: Session) -> None:
    """A committed line and a pending one hold NUL bytes."""
    with session.path.open("r+b") as file:
        for number in (1, 5):
            file.seek(session.start(number))
            file.write(bytes(100))


def changed(session: Session) -> None:
    """The session went on, then a committed line was edited, to the same length."""
    with OpLog(session.repo, "friday") as log:
        log.append(making.entry(7))
    changed_without_evidence(session)


def changed_without_evidence(session: Session) -> None:
    """A committed line was edited."""
    data = session.path.read_bytes()
    at = session.start(1)
    session.path.write_bytes(data[:at] + data[at:].replace(b"main.py", b"MAIN.PY", 1))


def changed_and_no_index(session: Session) -> None:
    """A committed line was edited, and the index deleted."""
    changed_without_evidence(session)
    making.drop_index(session.repo, "friday")


def conflicting(session: Session) -> None:
    """Another program wrote another operation under an op_id that is there."""
    making.add_bytes(session.path, making.line({**session.entries[0], "domain_op": {"op": "other"}}))


def glued(session: Session) -> None:
    """Of two lines that the index knew, the newline between them is gone."""
    at = session.start(5)
    session.path.write_bytes(session.whole[: at - 1] + session.whole[at:])


def glued_by_another_program(session: Session) -> list[OpEntry]:
    """Another program forgot a newline."""
    entries = making.entries(2, start=7)
    making.add_bytes(session.path, making.line(entries[0])[:-1] + making.line(entries[1]))
    return entries


def torn_and_merged_elsewhere(session: Session) -> list[OpEntry]:
    """A line was damaged before anybody indexed it, and the replica has its entry."""
    entry = making.entry(7)
    with OpLog(session.replica, "friday") as other:
        other.append(entry)
    making.add_bytes(session.path, making.line(entry)[:90] + b"\n")
    return [entry]


def newline_missing(session: Session) -> list[OpEntry]:
    """A writer died before its newline."""
    entry = making.entry(7)
    making.add_bytes(session.path, making.line(entry)[:-1])
    return [entry]


def torn(session: Session) -> list[OpEntry]:
    """A writer died in the middle of its line; somebody has the next entry."""
    making.add_bytes(session.path, making.line(making.entry(7))[:90])
    (session.repo / "next.jsonl").write_bytes(making.line(making.entry(8)))
    return [making.entry(8)]


def record_gone(session: Session) -> None:
    """checkpoint.json was deleted."""
    session.beside("checkpoint.json").unlink()


def record_half_written(session: Session) -> None:
    """checkpoint.json is only begun."""
    record = session.beside("checkpoint.json")
    record.write_bytes(record.read_bytes()[:50])


def record_of_another_session(session: Session) -> None:
    """checkpoint.json was copied from elsewhere."""
    record = session.beside("checkpoint.json")
    record.write_bytes(record.read_bytes().replace(b"friday", b"monday"))


def older_record(session: Session) -> None:
    """An older checkpoint.json was put back."""
    older = session.beside("checkpoint.json").read_bytes()
    with OpLog(session.repo, "friday") as log:
        log.checkpoint("snapshot-2")
    session.beside("checkpoint.json").write_bytes(older)


def accepted_damaged(session: Session) -> None:
    """What is lost was accepted, then accepted.json was cut."""
    cut_above(session)
    muse("accept", "friday", "operation-lost", "--why", "x", "--yes", "--repo", session.repo)
    accepted = session.beside("accepted.json")
    accepted.write_bytes(accepted.read_bytes()[:60])


def index_overwritten(session: Session) -> None:
    """Somebody wrote over the index."""
    session.beside("index.db").write_bytes(b"no database" * 1000)


def parent_elsewhere(session: Session) -> list[OpEntry]:
    """A parent is only in the replica."""
    parent, child = making.entry(7), making.entry(8, parent_op_ids=[making.op_id(7)])
    with OpLog(session.replica, "friday") as other:
        other.append_many([parent, child])
    with OpLog(session.repo, "friday") as log:
        log.append(child)
    return [parent, child]


@dataclass(frozen=True)
class Recipe:
    """A block of a section, what it is for, and whether it brings everything back."""

    heading: str
    number: int
    damage: Callable[[Session], list[OpEntry] | None]
    is_whole: bool = True
    """Whether each operation is there as it was. What is accepted may be lost."""
    kind: str = ""
    """What verify finds first; the heading if it is not named."""

    def __str__(self) -> str:
        return f"{self.heading}-{self.number}-{self.damage.__name__}"


def recipes() -> Iterator[Recipe]:
    """Each recipe of the page, with each kind of damage that it is for."""
    for number in range(3):
        for damage in (cut, cut_above, emptied, deleted, put_back, overwritten):
            yield Recipe("operation-lost", number, damage)
    yield Recipe("line-changed", 0, changed)
    yield Recipe("line-changed", 1, changed, is_whole=False)
    yield Recipe("conflicting-duplicate", 0, conflicting)
    yield Recipe("damaged-line", 0, glued_by_another_program)
    yield Recipe("damaged-line", 0, glued, kind="operation-lost")
    yield Recipe("damaged-line", 1, torn_and_merged_elsewhere)
    yield Recipe("torn-tail", 0, newline_missing)
    yield Recipe("torn-tail", 1, torn)
    yield Recipe("checkpoint-digest", 0, changed_and_no_index, is_whole=False)
    yield Recipe("accepted-damaged", 0, accepted_damaged, is_whole=False)
    yield Recipe("index-differs", 0, index_overwritten)
    yield Recipe("missing-parent", 0, parent_elsewhere)
    for damage in (record_gone, record_half_written, record_of_another_session, older_record):
        yield Recipe("checkpoint.json can't be used", 0, damage, kind="checkpoint-damaged")
    for damage in (cut, cut_above, emptied, deleted, put_back, overwritten):
        yield Recipe("What nobody has any more", 0, damage, is_whole=False, kind="operation-lost")
    for heading in ("First verify", "An append was refused by the system", "fsync failed"):
        yield Recipe(heading, 0, nothing)
    for damage in (cut, put_back):
        yield Recipe(PENDING_AGAIN, 0, damage, kind="operation-lost")


RECIPES = list(recipes())


def commands_of(heading: str) -> list[Any]:
    """The blocks of commands right below a heading."""
    own = re.split("^##+ ", section(RECOVERY, heading), flags=re.MULTILINE)[0]
    return [block for block in blocks_in(own) if block.language == "sh"]


def test_every_block_of_commands_is_tried() -> None:
    """No recipe of the page is without damage that it is tried on."""
    shown = {(title, number) for title in headings(RECOVERY) for number, _ in enumerate(commands_of(title))}

    assert {(each.heading, each.number) for each in RECIPES} == shown


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_recipe_repairs_the_session(session: Session, recipe: Recipe) -> None:
    """Verify finds the damage; after the recipe it finds none, and what can be had is there as it was."""
    more = recipe.damage(session) or []
    kind = recipe.kind or recipe.heading
    before = plain_scan.scan(making.log_bytes(session.repo, "friday"))
    if recipe.damage is not nothing:
        assert kind in session.findings()

    Reader(session.repo).runs(commands_of(recipe.heading)[recipe.number])

    after = plain_scan.scan(session.path.read_bytes())
    severity = session.findings().get(kind, "none")
    assert muse("verify", "friday", "--repo", session.repo).exit_code == 0
    assert muse("replay", "friday", "--repo", session.repo).exit_code == 0
    assert severity in ("none", "note")
    assert set(before.op_ids) <= set(after.op_ids)
    expected = session.entries if recipe.is_whole else []
    there = {entry["op_id"]: plain_scan.exact(entry) for entry in after.entries}
    assert [each for each in (*expected, *more) if there.get(each["op_id"]) != plain_scan.exact(each)] == []


def test_what_is_pending_again_is_covered_again(session: Session) -> None:
    """After a cut the committed operations are the first that are pending: the checkpoint covers them as before."""
    cut(session)
    reader = Reader(session.repo)
    for block in blocks_in(section(RECOVERY, PENDING_AGAIN)):
        reader.runs(block)

    with OpLog(session.repo, "friday") as log:
        record, pending = log.read_checkpoint(), log.replay_since_checkpoint()
    assert reader.printed.splitlines()[-1] == "2 covered again"
    assert [each["op_id"] for each in pending] == [each["op_id"] for each in session.entries[4:]]
    assert record is not None
    assert (record["snapshot_id"], record["op_count"]) == ("snapshot-1", 4)


def test_what_is_pending_again_behind_new_entries_is_to_be_left_out(session: Session) -> None:
    """New entries lie in between: nothing is covered that no commit has; the op_ids that a commit has are told."""
    put_back(session)
    reader = Reader(session.repo)
    for block in blocks_in(section(RECOVERY, PENDING_AGAIN)):
        reader.runs(block)

    left_out = sorted(each["op_id"] for each in session.entries[2:4])
    told = reader.printed.splitlines()[-1].removeprefix("to be left out of the next commit: ")
    with OpLog(session.repo, "friday") as log:
        pending = {each["op_id"] for each in log.replay_since_checkpoint()}
    assert told.split() == left_out
    assert pending - set(left_out) == {making.op_id(7), *(each["op_id"] for each in session.entries[4:])}
