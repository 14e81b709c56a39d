"""Power loss for real: a file system on a loop device, whose backing file is copied while a child has it mounted.

What the kernel has not yet written to the device is not in the copy, so the copy is what a power loss leaves. The child
works, tells what was acknowledged, and stands still until it is killed.

python -m tests.reliability.power_loss --rounds 100 --entries 200 --seed 1 [--file-system ext4]
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from muse.core.op_log import OpLog, SyncError, export_session, import_session
from tests import children, making, plain_scan

SIZE_BYTES = {"ext4": 32 << 20, "ext2": 32 << 20, "xfs": 300 << 20, "btrfs": 128 << 20}
"""The file systems, and how large one is made: XFS and Btrfs take no less."""

_TIGHT_BYTES = 12 << 20

Acknowledged = dict[str, Any]
"""session -> {"op_ids": […], "checkpoint": record or None}"""


def why_not(file_system: str) -> str:
    """Why power can't be lost here on this file system; "" if it can."""
    needed = (f"mkfs.{file_system}", "unshare", "mount", *(["e2fsck"] if file_system == "ext2" else []))
    if missing := [name for name in needed if shutil.which(name) is None]:
        return f"needs {', '.join(missing)}"
    # In a mount namespace of its own: whatever happens, nothing stays mounted.
    with tempfile.TemporaryDirectory() as folder:
        made, place = Path(folder, "made"), Path(folder, "place")
        make_file_system(file_system, made)
        place.mkdir()
        done = subprocess.run([*mounted(made, place), "true"], check=False, capture_output=True, text=True)
        return f"can't mount {file_system} on a loop device: {done.stderr.strip()}" if done.returncode else ""


def make_file_system(file_system: str, path: Path) -> None:
    """Make an empty file system in a sparse file."""
    with path.open("wb") as file:
        file.truncate(SIZE_BYTES[file_system])
    subprocess.run([f"mkfs.{file_system}", "-q", str(path)], check=True, capture_output=True)


def mounted(made: Path, place: Path, tight: Path | None = None) -> list[str]:
    """A command prefix that runs a process for which the file system in `made` is mounted at `place`.

    With `tight` it is copied to there first, where there is little room for what will be written to it.
    """
    script = 'mount -o loop "$0" "$1" && shift && exec "$@"'
    if tight:
        made, moved = tight / made.name, made
        script = f'mount -t tmpfs -o size={_TIGHT_BYTES} tmpfs {tight} && cp --sparse=always {moved} "$0" && {script}'
    return ["unshare", "--mount", "sh", "-c", script, str(made), str(place)]


@contextmanager
def power_lost(file_system: str, folder: Path, case: str, entries: int) -> Iterator[tuple[Acknowledged, Path]]:
    """Let a child do what `case` says; what it acknowledged, and the repository as the power loss left it."""
    made, copy, place, tight, left = (folder / name for name in ("made", "copy", "place", "tight", "left"))
    place.mkdir()
    tight.mkdir()
    make_file_system(file_system, made)
    is_tight = case in TIGHT_CASES
    this = [sys.executable, "-B", "-m", "tests.reliability.power_loss", "--child", case, str(place / "repo")]
    with children.started([*mounted(made, place, tight if is_tight else None), *this, str(entries)]) as child:
        told = children.pipe_of(child).readline()
        assert told, "the child ended before it acknowledged anything"
        # Nothing is unmounted or synced: what is copied is what has reached the device.
        device = Path(f"/proc/{child.pid}/root{tight / made.name}") if is_tight else made
        subprocess.run(["cp", "--sparse=always", str(device), str(copy)], check=True)
    if file_system == "ext2":
        # It has no journal, so every system does this before it mounts it again. 1: it has mended something.
        checked = subprocess.run(["e2fsck", "-fy", str(copy)], check=False, capture_output=True, text=True)
        assert checked.returncode in (0, 1), checked.stdout
    take_out = [*mounted(copy, place), "sh", "-c", 'test ! -e "$0" || cp -r "$0" "$1"', str(place / "repo"), str(left)]
    done = subprocess.run(take_out, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"what was left can't be read: {done.stderr}"
    left.mkdir(exist_ok=True)
    yield json.loads(told), left


def assert_kept(acknowledged: Acknowledged, repo: Path) -> None:
    """Whatever was acknowledged is in the log by a plain scan, and its checkpoint is the one that is read."""
    for session, expected in acknowledged.items():
        scanned = plain_scan.scan(making.log_bytes(repo, session))
        lost = set(expected["op_ids"]) - set(scanned.op_ids)
        assert not lost, f"session {session}: {len(lost)} of {len(expected['op_ids'])} acknowledged entries are lost"
        if expected["checkpoint"]:
            with OpLog(repo, session) as log:
                assert log.read_checkpoint() == expected["checkpoint"]
                assert log.verify().ok


# -- what the children do --------------------------------------------------------------------------------------


def session_just_made(repo: Path, entries: int) -> Acknowledged:
    """The first entries of the first session."""
    return {"s": _acknowledge(repo, "s", entries)}


def session_beside_another(repo: Path, entries: int) -> Acknowledged:
    """The first entries of a session beside one that was made without any sync."""
    _append_unsynced(repo, "other", 1)
    return {"s": _acknowledge(repo, "s", entries)}


def there_already(repo: Path, entries: int) -> Acknowledged:
    """Entries appended one by one, which a handle that does not sync has written before."""
    made = _append_unsynced(repo, "s", entries)
    with OpLog(repo, "s", durability="fsync") as log:
        assert [log.append(entry) for entry in made] == [False] * entries
        return {"s": _kept(log)}


def batch_there_already(repo: Path, entries: int) -> Acknowledged:
    """A batch which a handle that does not sync has written before."""
    made = _append_unsynced(repo, "s", entries)
    with OpLog(repo, "s", durability="fsync") as log:
        assert log.append_many(made) == 0
        return {"s": _kept(log)}


def merged_there_already(repo: Path, entries: int) -> Acknowledged:
    """A merge of a replica, of which a handle that does not sync has written all before."""
    _append_unsynced(repo, "s", entries)
    _append_unsynced(repo, "replica", entries)
    with OpLog(repo, "s", durability="fsync") as log, OpLog(repo, "replica") as replica:
        assert log.merge(replica) == 0
        return {"s": _kept(log)}


def merged(repo: Path, entries: int) -> Acknowledged:
    """A merge into a new session."""
    _append_unsynced(repo, "replica", entries)
    with OpLog(repo, "s", durability="fsync") as log, OpLog(repo, "replica") as replica:
        assert log.merge(replica) == entries
        return {"s": _kept(log)}


def checkpoint_of_new_session(repo: Path, entries: int) -> Acknowledged:
    """A checkpoint through a handle that does not sync, on the session that it has just made."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(entries))
        log.checkpoint("one")
        return {"s": _kept(log)}


def imported_beside(repo: Path, entries: int) -> Acknowledged:
    """An import beside a session that was made without any sync."""
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as elsewhere, OpLog(elsewhere, "s") as log:
        log.append_many(making.entries(entries))
        log.checkpoint("one")
        export_session(log, archive)
        acknowledged = _kept(log)
    _append_unsynced(repo, "other", 1)
    archive.seek(0)
    import_session(repo, archive)
    return {"s": acknowledged}


def given_again_after_a_failed_sync(repo: Path, entries: int) -> Acknowledged:
    """Entries appended again by a new handle, after the device has refused them to the first one.

    The kernel drops what it could not write and takes the file for clean. A few entries would fit into a block that
    the device has room for already.
    """
    made = making.entries(entries + 300, start=100)
    filler = repo.parent.with_name("tight") / "filler"
    with OpLog(repo, "s", durability="fsync") as log:
        log.append_many(making.entries(5))
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            log.append_many(made)
        except SyncError:
            filler.unlink()
        else:
            raise AssertionError("the device has taken what there was no room for")
    with OpLog(repo, "s", durability="fsync") as log:
        assert log.append_many(made) == 0
        return {"s": _kept(log)}


TIGHT_CASES = {work.__name__: work for work in (given_again_after_a_failed_sync,)}
"""On a device that can run full. Only for ext2: one with a journal stops altogether when it can't be written."""

CASES: dict[str, Callable[[Path, int], Acknowledged]] = {
    work.__name__: work
    for work in (
        session_just_made,
        session_beside_another,
        there_already,
        batch_there_already,
        merged_there_already,
        merged,
        checkpoint_of_new_session,
        imported_beside,
    )
}


def _acknowledge(repo: Path, session: str, entries: int) -> dict[str, Any]:
    with OpLog(repo, session, durability="fsync") as log:
        log.append_many(making.entries(entries))
        return _kept(log)


def _append_unsynced(repo: Path, session: str, entries: int) -> list[Any]:
    made = making.entries(entries)
    with OpLog(repo, session) as log:
        log.append_many(made)
    return made


def _kept(log: OpLog) -> dict[str, Any]:
    return {"op_ids": [entry["op_id"] for entry in log], "checkpoint": log.read_checkpoint()}


# -- the long run ----------------------------------------------------------------------------------------------


def _run(rounds: int, entries: int, seed: int, file_systems: list[str]) -> int:
    chosen = random.Random(seed)
    failures = 0
    for number in range(rounds):
        file_system = file_systems[number % len(file_systems)]
        case = chosen.choice(sorted({**CASES, **TIGHT_CASES} if file_system == "ext2" else CASES))
        size = chosen.randint(1, entries)
        with tempfile.TemporaryDirectory() as folder:
            try:
                with power_lost(file_system, Path(folder), case, size) as (acknowledged, repo):
                    assert_kept(acknowledged, repo)
            except AssertionError as error:
                failures += 1
                sys.stdout.write(f"{file_system} {case} {size}: {error}\n")
    sys.stdout.write(f"{rounds} power losses on {', '.join(file_systems)}: {failures} lost what was acknowledged\n")
    return int(failures > 0)


def main() -> int:
    """Run one case as a child, or many of them in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("CASE", "REPO", "ENTRIES"))
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--entries", type=int, default=1000, help="at most so many in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file-system", action="append", choices=SIZE_BYTES)
    given = parser.parse_args()
    if given.child:
        case, repo, entries = given.child
        print(json.dumps({**CASES, **TIGHT_CASES}[case](Path(repo), int(entries))), flush=True)
        # Whatever is unmounted or closed now could still reach the device.
        with suppress(KeyboardInterrupt):
            sys.stdin.read()
        return 0
    possible = []
    for file_system in given.file_system or SIZE_BYTES:
        if reason := why_not(file_system):
            sys.stdout.write(f"{file_system}: {reason}\n")
        else:
            possible.append(file_system)
    return _run(given.rounds, given.entries, given.seed, possible) if possible else 1


if __name__ == "__main__":
    sys.exit(main())
