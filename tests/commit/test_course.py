"""Any course of events: each operation ends in exactly one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muse.commit import CommitBatch, Committed, commit, restore_session, verify_commits
from muse.commit.protocol import prepare
from muse.core.op_log import OpLog
from tests import making
from tests.commit.targets import MemoryTarget
from tests.samples import examples


class Counting(MemoryTarget):
    """Counts in how many commits each operation is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[int] = Counter()

    def commit(self, batch: CommitBatch) -> Committed:
        """Commit, and look into the deltas."""
        made = super().commit(batch)
        ops: list[Any] = [op for delta in batch.deltas for op in delta["ops"]]
        assert len(ops) == batch.ops
        self.found.update(op["position"] for op in ops)
        return made


class Course:
    """One session, its target, and what happens to them."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.checkpoint = making.log_path(repo).with_name("checkpoint.json")
        self.log = OpLog(repo, "s")
        self.target = Counting()
        self.made: list[Any] = []
        self.old_checkpoint = b""

    def append(self, number: int) -> None:
        """One to four new operations."""
        start = len(self.made)
        self.made += making.entries(number % 4 + 1, start=start + 1)
        self.log.append_many(self.made[start:])

    def append_all_again(self, _number: int) -> None:
        """As after a repair, or by somebody who does not know what was acknowledged."""
        self.log.append_many(self.made)

    def commit(self, _number: int) -> None:
        """Then nothing is pending."""
        commit(self.log, self.target)
        assert commit(self.log, self.target) is None

    def die_before_the_checkpoint(self, _number: int) -> None:
        """The target takes the commit, and the committer does no more."""
        if batch := prepare(self.log, self.target):
            self.target.commit(batch)

    def be_overtaken(self, _number: int) -> None:
        """Another handle commits after this one has looked."""
        prepare(self.log, self.target)
        with OpLog(self.repo, "s") as other:
            commit(other, self.target)

    def lose_the_checkpoint(self, _number: int) -> None:
        """Its file is deleted."""
        self.old_checkpoint = self.checkpoint.read_bytes() if self.checkpoint.exists() else b""
        self.reopen(lambda: self.checkpoint.unlink(missing_ok=True))

    def empty_the_checkpoint(self, _number: int) -> None:
        """As a full disk or a crash leaves it, if not replaced atomically."""
        if self.target.latest("s"):
            self.reopen(lambda: self.checkpoint.write_bytes(b""))

    def put_the_checkpoint_back(self, _number: int) -> None:
        """From a backup."""
        if self.old_checkpoint:
            self.reopen(lambda: self.checkpoint.write_bytes(self.old_checkpoint))

    def lose_the_index(self, _number: int) -> None:
        """And all that it has seen."""
        self.reopen(lambda: making.drop_index(self.repo))

    def rebuild_the_index(self, _number: int) -> None:
        """It keeps what it has seen."""
        self.log.rebuild_index()

    def tear_a_line(self, _number: int) -> None:
        """A writer dies in the middle."""
        making.add_bytes(self.log.path, b'{"op_id": "\x00\n')

    def damage_a_line(self, number: int) -> None:
        """Its beginning is overwritten, whether it was committed or not."""

        def overwrite() -> None:
            lines = making.log_bytes(self.repo).splitlines(keepends=True)
            with self.log.path.open("r+b") as file:
                file.seek(sum(map(len, lines[: number % len(lines)])))
                file.write(b"\x00" * 5)

        if self.made:
            self.reopen(overwrite)

    def reopen(self, harm: Callable[[], object] | int = 0) -> None:
        """Do something to the files, or nothing, while nobody has them open."""
        self.log.close()
        if callable(harm):
            harm()
        self.log = OpLog(self.repo, "s")


STEPS = (
    Course.append,
    Course.append,
    Course.append_all_again,
    Course.commit,
    Course.commit,
    Course.die_before_the_checkpoint,
    Course.be_overtaken,
    Course.lose_the_checkpoint,
    Course.empty_the_checkpoint,
    Course.put_the_checkpoint_back,
    Course.lose_the_index,
    Course.rebuild_the_index,
    Course.tear_a_line,
    Course.damage_a_line,
    Course.reopen,
)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), max_size=25))
@examples(60)
def test_every_operation_ends_in_one_commit(steps: list[tuple[Callable[[Course, int], None], int]]) -> None:
    """Whatever is lost, damaged, appended again, or dies in between; and a log made of the commits has them all."""
    with making.fresh_repo() as repo:
        course = Course(repo)
        for step, number in steps:
            step(course, number)
            assert max(course.target.found.values(), default=0) <= 1, "committed twice"
        course.log.append_many(course.made)
        commit(course.log, course.target)
        expected = Counter(entry["domain_op"]["position"] for entry in course.made)
        assert course.target.found == expected
        report = verify_commits(course.log, course.target)
        assert (report.committed, report.pending) == (len(course.made), 0)
        if course.made:
            assert restore_session(repo / "restored", "s", course.target) == len(course.made)
            with OpLog(repo / "restored", "s") as restored:
                assert {entry["op_id"] for entry in restored} == {entry["op_id"] for entry in course.made}
                assert restored.count(since_checkpoint=True) == 0
        course.log.close()
