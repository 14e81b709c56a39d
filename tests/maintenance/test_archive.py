"""A session as one file, and back: whole and byte for byte, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import (
    ArchiveError,
    MuseError,
    OpLog,
    SessionExistsError,
    export_session,
    import_session,
    list_sessions,
)
from tests import children, making, plain_scan
from tests.cli.running import command_line


@pytest.fixture
def packed(repo: Path) -> bytes:
    """The archive of a session "s" with a checkpoint, damaged lines and a torn tail."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(5))
        log.checkpoint("c1")
        making.add_bytes(log.path, b"damage\n\n" + making.line(making.entry(9)) + b'{"torn')
        return exported(log)


def exported(log: OpLog) -> bytes:
    """The bytes of a session's archive."""
    out = io.BytesIO()
    export_session(log, out)
    return out.getvalue()


def unpacked(archive: bytes) -> dict[str, bytes]:
    """The members of an archive, in their order, as Python's own tarfile reads them."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as found:
        return {member.name: found.extractfile(member).read() for member in found}  # type: ignore[union-attr]  # files


def repacked(members: Sequence[tuple[tarfile.TarInfo | str, bytes]]) -> bytes:
    """An archive of any members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for named, content in members:
            info = tarfile.TarInfo(named) if isinstance(named, str) else named
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def assert_refused(archive: bytes, tmp_path: Path, error: type[MuseError] = ArchiveError) -> str:
    """The archive is refused, and no file or folder appears anywhere; what was said."""
    target = tmp_path / "target" / "repo"
    target.mkdir(parents=True, exist_ok=True)
    with pytest.raises(error) as refusal:
        import_session(target, io.BytesIO(archive))
    assert making.tree(target.parent) == {"repo": None}
    return str(refusal.value)


def test_session_comes_back_byte_for_byte(repo: Path, tmp_path: Path, packed: bytes) -> None:
    """Log up to its last whole line, damage included, and checkpoint; it is used on at once."""
    manifest = import_session(tmp_path / "other", io.BytesIO(packed))

    folder = making.log_path(tmp_path / "other").parent
    assert making.log_bytes(repo) == making.log_bytes(tmp_path / "other") + b'{"torn'
    assert (folder / "checkpoint.json").read_bytes() == making.log_path(repo).with_name("checkpoint.json").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.json", "ops.jsonl"]
    assert (manifest.session_id, manifest.op_count) == ("s", 6)
    with OpLog(tmp_path / "other", "s") as log:
        making.assert_same_as_scan(log, log.path)
        assert log.count(since_checkpoint=True) == 1
        assert log.append(making.entry(50))
        assert log.verify().counts == {"damaged-line": 1}


@pytest.mark.process
def test_plain_tar_opens_it(tmp_path: Path, packed: bytes) -> None:
    """`tar xzf` gives three files, with the digests that the manifest names."""
    tar = shutil.which("tar")
    if tar is None:
        pytest.skip("needs tar")
    (tmp_path / "s.tar.gz").write_bytes(packed)
    subprocess.run([tar, "xzf", "s.tar.gz"], cwd=tmp_path, check=True)

    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert (manifest["format"], manifest["format_version"]) == ("muse-op-log-archive", 1)
    assert list(unpacked(packed)) == ["manifest.json", "ops.jsonl", "checkpoint.json"]
    for name, described in manifest["members"].items():
        data = (tmp_path / name).read_bytes()
        assert described == {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.process
def test_export_with_writers_at_work_is_a_prefix_of_the_log(repo: Path) -> None:
    """Each archive ends with a whole line and holds as many entries as it says."""
    workers = [children.start_worker("acknowledge_forever", repo, "s", name, "os", "3") for name in ("ada", "bob")]
    archives = []
    try:
        for worker in workers:
            assert children.pipe_of(worker).readline()
        with OpLog(repo, "s") as log:
            for number in range(8):
                out = io.BytesIO()
                archives.append((export_session(log, out), out))
                log.checkpoint(f"c{number}")
    finally:
        for worker in workers:
            children.kill(worker)
    whole = making.log_bytes(repo)

    for manifest, out in archives:
        data = unpacked(out.getvalue())["ops.jsonl"]
        assert whole.startswith(data)
        assert data.endswith(b"\n")
        assert len(plain_scan.scan(data).entries) == manifest.op_count
    assert archives[-1][0].op_count > archives[0][0].op_count


@pytest.mark.slow
def test_flipped_bit_is_refused_or_changes_nothing(repo: Path, tmp_path: Path, packed: bytes) -> None:
    """One bit of each byte: what is imported all the same is byte for byte the session."""
    whole = unpacked(packed)
    harmless = 0
    for place in range(len(packed)):
        altered = bytearray(packed)
        altered[place] ^= 1 << random.Random(place).randrange(8)
        target = tmp_path / "target"
        try:
            import_session(target, io.BytesIO(bytes(altered)))
        except ArchiveError:
            assert not target.exists() or making.tree(target) == {}
            continue
        harmless += 1
        assert making.log_bytes(target) == whole["ops.jsonl"]
        assert making.log_path(target).with_name("checkpoint.json").read_bytes() == whole["checkpoint.json"]
        shutil.rmtree(target)
    # The header of gzip holds a time, flags and a system that are nobody's content.
    assert harmless <= 10


def test_truncated_archive_is_refused_wherever_it_ends(tmp_path: Path, packed: bytes) -> None:
    """Not even the last byte may be missing."""
    for length in range(len(packed)):
        assert_refused(packed[:length], tmp_path)


# With no time in them: the workers of a test run must collect the same tests.
@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"", mtime=0), gzip.compress(b"x" * 5000, mtime=0)]
)
def test_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever it is."""
    assert_refused(content, tmp_path)


def test_bytes_after_the_archive_are_refused(tmp_path: Path, packed: bytes) -> None:
    """Two files that were joined are none."""
    assert_refused(packed + b"more", tmp_path)


def hostile(kind: bytes, name: str, leads_to: str = "") -> tarfile.TarInfo:
    """A member that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads_to
    return info


@pytest.mark.parametrize(
    "extra",
    [
        "../../evil",
        "/tmp/evil",
        "ops.jsonl/../../evil",
        "./ops.jsonl",
        "index.db",
        "manifest.json",
        "ops.jsonl",
        hostile(tarfile.SYMTYPE, "ops.jsonl", "/etc/passwd"),
        hostile(tarfile.LNKTYPE, "ops.jsonl", "manifest.json"),
        hostile(tarfile.DIRTYPE, "ops.jsonl"),
        hostile(tarfile.FIFOTYPE, "ops.jsonl"),
        hostile(tarfile.CHRTYPE, "ops.jsonl"),
    ],
    ids=lambda extra: extra if isinstance(extra, str) else f"type-{extra.type.decode()}",
)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_member_that_is_none_of_a_session_is_refused(
    tmp_path: Path, packed: bytes, extra: tarfile.TarInfo | str, at: int
) -> None:
    """Names that lead elsewhere, names that stand twice, links, folders, devices: wherever they stand."""
    members: list[Any] = list(unpacked(packed).items())
    members.insert(at, (extra, b""))

    assert_refused(repacked(members), tmp_path)


@pytest.mark.parametrize("session_id", ["", "x" * 300])
def test_id_that_can_not_be_a_folder_is_refused(tmp_path: Path, packed: bytes, session_id: str) -> None:
    """An id in a manifest is anybody's text."""
    members = unpacked(packed)
    members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), "session_id": session_id}).encode()

    assert_refused(repacked(list(members.items())), tmp_path, MuseError)


@pytest.mark.parametrize("session_id", ["../../evil", "/tmp/evil", ".import-1", "a\x00b"])
def test_id_that_leads_elsewhere_stays_inside(tmp_path: Path, log: OpLog, session_id: str) -> None:
    """It is encoded like any session's."""
    log.append_many(making.entries(2))
    members = unpacked(exported(log))
    members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), "session_id": session_id}).encode()
    import_session(tmp_path / "x" / "target", io.BytesIO(repacked(list(members.items()))))

    assert list_sessions(tmp_path / "x" / "target") == [session_id]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["target"]
    assert len(list((tmp_path / "x" / "target" / ".muse" / "op_log").iterdir())) == 1


def test_missing_member_and_other_manifests_are_refused(tmp_path: Path, packed: bytes) -> None:
    """The manifest must come first, be of this version, and describe what follows."""
    members = unpacked(packed)
    manifest = json.loads(members["manifest.json"])
    others = [
        {**manifest, "format_version": 2},
        {**manifest, "format": "other"},
        {**manifest, "members": {}},
        {**manifest, "members": {"ops.jsonl": manifest["members"]["ops.jsonl"]}},
        {**manifest, "op_count": 3},
        {key: value for key, value in manifest.items() if key != "session_id"},
        [],
    ]
    for other in others:
        assert_refused(repacked(list({**members, "manifest.json": json.dumps(other).encode()}.items())), tmp_path)
    assert "update" in assert_refused(
        repacked([("manifest.json", json.dumps(others[0]).encode()), *list(members.items())[1:]]), tmp_path
    )
    assert_refused(repacked(list(members.items())[:2]), tmp_path)
    assert_refused(repacked(list(members.items())[1:]), tmp_path)


def test_session_that_exists_is_never_overwritten(repo: Path, packed: bytes) -> None:
    """Neither one that was there before, nor one that came while the archive was read."""
    before = making.tree(repo)
    with pytest.raises(SessionExistsError):
        import_session(repo, io.BytesIO(packed))
    assert making.tree(repo) == before

    def come(*_: int) -> None:
        making.add_bytes(making.log_path(repo, "t"), b"other")

    with pytest.raises(SessionExistsError):
        import_session(repo, io.BytesIO(packed), session_id="t", progress=come)
    assert making.log_bytes(repo, "t") == b"other" * (making.log_bytes(repo, "t").count(b"other"))
    assert sorted(path.name for path in (repo / ".muse" / "op_log").iterdir()) == ["s", "t"]


def test_session_under_another_id_keeps_its_checkpoint(repo: Path, packed: bytes) -> None:
    """The record is that of the new session, valid to its last digit."""
    import_session(repo, io.BytesIO(packed), session_id="feature/x")

    with OpLog(repo, "feature/x") as log, OpLog(repo, "s") as original:
        mark, other = log.read_checkpoint(), original.read_checkpoint()
        assert mark is not None
        assert other is not None
        assert mark["session_id"] == "feature/x"
        assert {**mark, "session_id": 0, "record_digest": 0} == {**other, "session_id": 0, "record_digest": 0}
        assert log.verify().counts == {"damaged-line": 1}


def test_empty_session_makes_the_way_too(tmp_path: Path, log: OpLog) -> None:
    """No log, no checkpoint: an empty log."""
    assert import_session(tmp_path / "other", io.BytesIO(exported(log))).op_count == 0
    assert list_sessions(tmp_path / "other") == ["s"]


@pytest.mark.process
def test_import_that_is_killed_leaves_no_session(tmp_path: Path, log: OpLog) -> None:
    """What it had prepared lies aside, is no session, and is in nobody's way."""
    noise = random.Random(1)
    log.append_many([making.entry(n, domain_op={"op": noise.randbytes(30_000).hex()}) for n in range(1, 60)])
    archive = exported(log)
    target = tmp_path / "target"
    target.mkdir()
    with children.started(command_line("import", "-", "--repo", target)) as process:
        # All but the end of the log: it waits for the rest.
        children.tell(process, archive[: len(archive) * 3 // 4])
        until = time.monotonic() + 30
        while not list(target.glob(".muse/op_log/.import-*/ops.jsonl")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)

    assert list(target.glob(".muse/op_log/.import-*/ops.jsonl"))
    assert list_sessions(target) == []
    import_session(target, io.BytesIO(archive))
    assert list_sessions(target) == ["s"]
    assert making.log_bytes(target) == making.log_bytes(log.folder.parents[2])


@pytest.mark.process
def test_import_without_room_leaves_nothing(tmp_path: Path, log: OpLog) -> None:
    """A limit on the size of files stands for a full disk: exit code 3, and no file remains."""
    log.append_many(making.entries(200))
    (tmp_path / "s.tar.gz").write_bytes(exported(log))
    target = tmp_path / "target"
    target.mkdir()
    command = command_line("import", tmp_path / "s.tar.gz", "--repo", target)
    done = children.run(["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *command])

    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr
    assert making.tree(target) == {}


def test_progress_ends_at_the_whole(log: OpLog, tmp_path: Path) -> None:
    """Both ways, in bytes."""
    log.append_many(making.entries(3))
    out, told = io.BytesIO(), []
    export_session(log, out, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (2 * len(making.log_bytes(log.folder.parents[2])), told[-1][1])
    assert told[-1][0] == told[-1][1]
    import_session(tmp_path / "x", io.BytesIO(out.getvalue()), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
