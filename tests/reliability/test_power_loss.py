"""Rows 37 and 38: what "fsync", a checkpoint and an import have acknowledged is there after the loss of power."""

from __future__ import annotations

import errno
import io
import os
from functools import cache
from pathlib import Path

import pytest

from muse.core.op_log import AppendError, OpLog, SyncError, export_session, import_session
from tests import making
from tests.making import entries, entry
from tests.reliability import power_loss

why_not = cache(power_loss.why_not)


def lose_power(file_system: str, folder: Path, case: str) -> None:
    """Hold what a child acknowledged against a plain scan of what was on the device at that moment."""
    if reason := why_not(file_system):
        pytest.skip(reason)
    with power_loss.power_lost(file_system, folder, case, 40) as (acknowledged, repo):
        power_loss.assert_kept(acknowledged, repo)


@pytest.mark.process
@pytest.mark.parametrize("case", power_loss.CASES)
@pytest.mark.parametrize("file_system", power_loss.SIZE_BYTES)
def test_power_is_lost_right_after_an_acknowledgement(tmp_path: Path, file_system: str, case: str) -> None:
    """Rows 37 and 38: a new session, entries that were there, merges, checkpoints and imports survive."""
    lose_power(file_system, tmp_path, case)


@pytest.mark.process
@pytest.mark.parametrize("case", power_loss.TIGHT_CASES)
def test_power_is_lost_after_a_sync_that_failed_and_the_same_entries_again(tmp_path: Path, case: str) -> None:
    """Row 37: the device refused them once, and the kernel forgot them; given again, they are there."""
    lose_power("ext2", tmp_path, case)


class Syncs:
    """What is synced from now on, by path; the next ones of the log fail if asked to."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        if not Path("/proc/self/fd").exists():
            pytest.skip("needs Linux's /proc to tell what is synced")
        self.paths: list[str] = []
        self.fail_on_log = False
        sync = os.fsync

        def note(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if self.fail_on_log and path.endswith("ops.jsonl"):
                raise OSError(errno.EIO, "Input/output error")
            self.paths.append(path)
            sync(descriptor)

        patched.setattr(os, "fsync", note)

    def of_log(self) -> int:
        """How often a log was synced since this was asked last."""
        count = sum(path.endswith("ops.jsonl") for path in self.paths)
        self.paths.clear()
        return count


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    """Every sync of this process."""
    return Syncs(monkeypatch)


def test_entry_that_is_there_already_is_synced_once(repo: Path, syncs: Syncs) -> None:
    """Row 37: by append, append_many and merge, with the names on the way; what this handle has synced is not again."""
    with OpLog(repo, "s") as log, OpLog(repo, "replica") as replica:
        log.append_many(entries(3))
        replica.append_many(entries(5))
        assert syncs.of_log() == 0
        with OpLog(repo, "s", durability="fsync") as synced:
            assert synced.append(entries(1)[0]) is False
            folders = set(syncs.paths)
            assert syncs.of_log() == 1
            assert {str(folder.resolve()) for folder in log.path.parents[:4]} <= folders
            assert synced.append_many(entries(3)) == 0
            assert syncs.of_log() == 0
            log.append(entries(4)[3])
            assert synced.append_many(entries(4)) == 0
            assert syncs.of_log() == 1
            assert synced.merge(replica) == 1
            assert syncs.of_log() == 1
            assert synced.merge(replica) == 0
            assert syncs.of_log() == 0


@pytest.mark.parametrize("size", [1, 3])
def test_line_whose_sync_has_failed_is_written_again(repo: Path, syncs: Syncs, size: int) -> None:
    """Row 37: once, behind a newline, by every later handle of the process; it is counted and returned once."""
    kept, lost = entries(2), entries(size, start=10)
    with OpLog(repo, "s", durability="fsync") as log:
        log.append_many(kept)
        before = log.path.stat().st_size
        syncs.fail_on_log = True
        with pytest.raises(SyncError):
            log.append_many(lost)
    written = making.log_bytes(repo)[before:]
    for _ in range(2):
        # Synced or not after it was written again: as long as that fails, it may be lost.
        with OpLog(repo, "s", durability="fsync") as log, pytest.raises(SyncError):
            log.append_many(lost)
    assert making.log_bytes(repo)[before:] == written + 2 * (b"\n" + written)
    syncs.fail_on_log = False
    with OpLog(repo, "s", durability="fsync") as log:
        for _ in range(2):
            assert [log.append(each) for each in lost] == [False] * size
            assert log.append_many(kept) == 0
        making.assert_same_as_scan(log, log.path)
        assert sorted(each["op_id"] for each in log) == sorted(each["op_id"] for each in kept + lost)
        assert log.verify().ok
    assert making.log_bytes(repo)[before:].replace(b"\n\n", b"\n") == 4 * written


def test_checkpoint_over_lines_that_a_failed_sync_may_have_lost_is_refused(repo: Path, syncs: Syncs) -> None:
    """Row 37: by every handle of this process; it is made as soon as a copy of the log is in its place."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
        first = log.cut()
        log.checkpoint("one")
        log.append(entry(4))
        syncs.fail_on_log = True
        with pytest.raises(SyncError):
            log.checkpoint("two")
    syncs.fail_on_log = False
    with OpLog(repo, "s") as log:
        cut = log.cut()
        with pytest.raises(SyncError, match=f"from byte {first.byte_offset} on.*copy"):
            log.checkpoint("two", upto=cut)
        record = log.read_checkpoint()
        assert record is not None
        assert record["snapshot_id"] == "one"
    copy = log.path.with_name("copy")
    copy.write_bytes(log.path.read_bytes())
    copy.rename(log.path)
    with OpLog(repo, "s") as log:
        assert log.checkpoint("two", upto=cut)["op_count"] == 4


def test_file_that_got_the_number_of_one_that_is_gone_is_another(repo: Path, syncs: Syncs) -> None:
    """Row 37: a log emptied in place, or made anew, has nothing that a sync of the old one could have lost."""
    with OpLog(repo, "s", durability="fsync") as log:
        syncs.fail_on_log = True
        with pytest.raises(SyncError):
            log.append_many(entries(3))
    syncs.fail_on_log = False
    os.truncate(log.path, 0)
    with OpLog(repo, "s", durability="fsync") as log:
        log.append_many(entries(2))
        size = log.path.stat().st_size
        assert log.append_many(entries(2)) == 0
        assert log.path.stat().st_size == size


def test_entry_that_is_there_is_synced_where_nothing_can_be_appended(
    repo: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 37: a sync needs no right to write, so a merge that adds nothing is acknowledged on a read-only place."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
    open_file = os.open

    def refuse(path: str, flags: int, *more: int, **named: int) -> int:
        if flags & os.O_APPEND:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return open_file(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    with OpLog(repo, "s", durability="fsync") as log:
        assert log.append_many(entries(3)) == 0
        assert syncs.of_log() == 1
        with pytest.raises(AppendError):
            log.append(entry(4))


def test_checkpoint_of_a_handle_that_does_not_sync_syncs_every_name(tmp_path: Path, syncs: Syncs) -> None:
    """Row 38: the log's, the session's, `op_log`, `.muse`, and of folders above them those that were just made."""
    repo = tmp_path / "new" / "repo"
    with OpLog(repo, "s") as log:
        log.append(entry(1))
        assert syncs.of_log() == 0
        log.checkpoint("one")
        wanted = [log.path, *map(str, log.path.parents[:6]), log.path.with_name("checkpoint.json.tmp")]
        assert set(syncs.paths) == set(map(str, wanted))
        syncs.paths.clear()
        log.checkpoint("two")
        assert len(syncs.paths) == 3, "names that are not new are synced again"


@pytest.mark.parametrize("is_new", [True, False])
def test_import_syncs_every_name(tmp_path: Path, syncs: Syncs, is_new: bool) -> None:
    """Row 38: also those of folders that a session beside it has made."""
    archive = io.BytesIO()
    with OpLog(tmp_path / "one", "s") as log:
        log.append_many(entries(3))
        export_session(log, archive)
    repo = tmp_path / "two"
    if not is_new:
        with OpLog(repo, "other") as other:
            other.append(entry(1))
    syncs.paths.clear()
    archive.seek(0)
    import_session(repo, archive)
    folders = [str(folder) for folder in making.log_path(repo).parents[1 : 5 if is_new else 4]]
    assert set(folders) <= set(syncs.paths)
