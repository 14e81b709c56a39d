"""Rows 50, 51 and 53: the files that commands write, onto bad places, from bad names, and without room."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests import making
from tests.children import run
from tests.cli.running import command_line, filled, muse
from tests.reliability import faults

WRITERS = [
    ("report", "s", "-o"),
    ("report", "s", "--format", "svg", "-o"),
    ("export", "s", "--force", "--format", "archive", "-o"),
    ("export", "s", "--force", "--format", "sqlite", "-o"),
]
"""Every command that writes a file, told to replace one that is there; the file's name comes last."""

writers = pytest.mark.parametrize("command", WRITERS, ids=["page", "picture", "archive", "database"])


def a_link(path: Path) -> None:
    """A symbolic link to somebody else's file."""
    path.with_name("victim").write_bytes(b"mine")
    path.symlink_to("victim")


def a_device(path: Path) -> None:
    """A device that swallows everything."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("needs the right to make a device (root)")


@writers
@pytest.mark.parametrize(
    "make", [a_link, a_device, faults.a_socket, os.mkfifo], ids=["link", "device", "socket", "fifo"]
)
def test_only_a_regular_file_is_replaced(
    repo: Path, tmp_path: Path, command: tuple[str, ...], make: Callable[[Path], None]
) -> None:
    """Row 50: exit code 2, the file is named, what was there is as it was, and nothing is beside it."""
    filled(repo, making.entries(3))
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "x.db"
    make(path)
    before = {name: (folder / name).lstat()[:2] for name in os.listdir(folder)}
    result = muse(*command, path, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "not a regular file" in result.stderr
    assert {name: (folder / name).lstat()[:2] for name in os.listdir(folder)} == before
    assert all(victim.read_bytes() == b"mine" for victim in folder.glob("victim"))


@writers
def test_links_laid_beside_the_file_are_not_written_through(
    repo: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Row 50: whoever guesses the name under which a file is written first gains nothing."""
    filled(repo, making.entries(3))
    path, victim = tmp_path / "x.db", tmp_path / "victim"
    victim.write_bytes(b"mine")
    for guess in (f"x.db.{os.getpid()}.new", "x.db.tmp", ".x.db.tmp", "x.db.new", "x.db-shm"):
        (tmp_path / guess).symlink_to(victim)
    links = sorted(os.listdir(tmp_path))
    assert muse(*command, path, "--repo", repo).exit_code == 0

    assert victim.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == sorted([*links, "x.db"])
    assert path.stat().st_size > 500


@writers
@pytest.mark.parametrize("way", ["plain", "dots", "linked folder", "linked op logs", "other repository"])
def test_nothing_is_written_among_the_files_of_sessions(
    repo: Path, tmp_path: Path, command: tuple[str, ...], way: str
) -> None:
    """Row 50: not onto a file of this session, of another one, or a new one, whatever way leads there."""
    for session in ("s", "t"):
        filled(repo, making.entries(3), session)
    muse("checkpoint", "s", "one", "--repo", repo)
    op_logs = repo / ".muse" / "op_log"
    folder = op_logs / "s"
    if way == "dots":
        folder = repo / ".." / repo.name / ".muse" / "op_log" / "t" / ".." / "s"
    elif way == "linked folder":
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    elif way == "linked op logs":
        op_logs.rename(tmp_path / "elsewhere")
        op_logs.symlink_to(tmp_path / "elsewhere")
        folder = tmp_path / "elsewhere" / "s"
    reader = repo
    if way == "other repository":
        reader = tmp_path / "reader"
        filled(reader, making.entries(3))
    before = making.tree(tmp_path)
    for name in ("ops.jsonl", "checkpoint.json", "index.db", "new", "../new", "../t/ops.jsonl"):
        result = muse(*command, folder / name, "--repo", reader)

        assert (result.exit_code, result.stdout) == (2, "")
        assert "files of sessions" in result.stderr
        assert_same_but_for_indexes(making.tree(tmp_path), before)
    assert muse("verify", "s", "--repo", repo).exit_code == 0


def assert_same_but_for_indexes(*trees: dict[str, bytes | None]) -> None:
    """Reading a session may make its index, and nothing else."""
    one, other = ({path: data for path, data in tree.items() if "index" not in path} for tree in trees)
    assert one == other


@writers
def test_name_that_only_looks_like_a_session_is_written(repo: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Row 50: in the repository itself, in .muse/, in a folder called op_log elsewhere."""
    filled(repo, making.entries(3))
    (repo / "op_log").mkdir()
    for path in (repo / "x.db", repo / ".muse" / "x.db", repo / "op_log" / "x.db"):
        assert muse(*command, path, "--repo", repo).exit_code == 0
        assert path.stat().st_size > 500


def test_picture_is_xml_whatever_the_names_hold(repo: Path, tmp_path: Path) -> None:
    """Row 51: every character of the first plane that JSON can hold, in names, texts and the snapshot's id."""
    letters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    odd = [letter for letter in letters if not letter.isalnum()]
    entries = [
        making.entry(
            number + 1,
            actor_id="a" + "".join(odd[number * 30 : number * 30 + 30]),
            domain="d\ufffe\uffff\x00\x0b",
            domain_op={"op": "k\uffff", "address": "\ufffe", "content_summary": "\x08\ufffe"},
        )
        for number in range(len(odd) // 30 + 1)
    ]
    # A picture names few actors; these are the ones it names.
    busy = [making.entry(10_000 + n, actor_id=f"busy {n % 3}\ufffe\uffff\x01\x1f") for n in range(60)]
    filled(repo, [*entries[:1400], *busy])
    muse("checkpoint", "s", "one\ufffe\uffff", "--repo", repo)
    assert muse("report", "s", "--format", "svg", "-o", tmp_path / "x.svg", "--repo", repo).exit_code == 0

    text = (tmp_path / "x.svg").read_text("utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert "busy 1\\ufffe\\uffff\\x01" in text


SIZE_LIMITS_BYTES = (8_192, 65_536)

WORK = [
    ("append", "s", "IN"),
    ("replay", "s"),
    ("show", "s", making.op_id(1)),
    ("query", "s"),
    ("count", "s"),
    ("tail", "s"),
    ("stats", "s"),
    ("report", "s", "-o", "OUT"),
    ("delta", "s", "music"),
    ("checkpoint", "s", "c1"),
    ("sessions",),
    ("verify", "s"),
    ("rebuild-index", "s"),
    ("merge", "s", "OTHER"),
    ("export", "s", "OUT"),
    ("export", "s", "--format", "sqlite", "OUT"),
]


@pytest.mark.process
@pytest.mark.parametrize("command", WORK, ids=" ".join)
def test_command_without_room_does_its_work_or_says_so_in_one_line(
    repo: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Row 53: with no index yet and files that can't grow (RLIMIT_FSIZE) the exit code is 0 or 3, never "damage"."""
    filled(repo, making.entries(500))
    filled(tmp_path / "other", making.entries(400))
    names = {"IN": tmp_path / "in.jsonl", "OUT": tmp_path / "out", "OTHER": tmp_path / "other"}
    names["IN"].write_bytes(making.line(making.entry(600)))
    for limit in SIZE_LIMITS_BYTES:
        making.drop_index(repo)
        script = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        script += "from muse.cli import main; main(['op-log', *sys.argv[1:]], prog_name='muse')"
        words = [str(names.get(word, word)) for word in command]
        done = run([*command_line()[:3], "-c", script, *words, "--repo", repo])
        # The engine warns that the index is in memory, and `append` says how far it came.
        said = [line for line in done.stderr.splitlines() if not line.startswith((b"warning: ", b"0 entries"))]

        assert done.returncode in (0, 3), said
        assert b"Traceback" not in done.stderr
        if done.returncode == 3:
            assert len(said) == 1
            assert "OUT" not in command or str(names["OUT"]).encode() in said[0]
            assert b"None" not in said[0]
            assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.process
@pytest.mark.parametrize(
    "command", [("verify", "s"), ("export", "s", "OUT.db"), ("demo", "--speed", "max")], ids=lambda words: words[0]
)
def test_full_temporary_folder_is_said_in_one_line(repo: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Row 53: exit code 3, not "damage", and no traceback."""
    small = tmp_path / "small"
    small.mkdir()
    prefix = faults.in_mount_namespace('mount -t tmpfs -o size=8k none "$0"', small)
    at: list[object] = []
    if command[0] != "demo":
        # Of so many the rest no longer fits into SQLite's memory.
        filled(repo, making.entries(45_000))
        at = ["--repo", repo]
    temporary = {"TMPDIR": str(small), "SQLITE_TMPDIR": str(small)}
    words = [word.replace("OUT", str(tmp_path / "x")) for word in command]
    done = run([*prefix, *command_line(*words, *at)], env={**os.environ, **temporary})

    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert b"Traceback" not in done.stderr


@pytest.mark.process
def test_demo_whose_disk_is_full_says_so_in_one_line(tmp_path: Path) -> None:
    """Row 53: its processes fail, and their reason is told, not their tracebacks."""
    small = tmp_path / "small"
    small.mkdir()
    prefix = faults.in_mount_namespace('mount -t tmpfs -o size=200k none "$0"', small)
    done = run([*prefix, *command_line("demo", "--speed", "max", "--repo", small)])

    assert done.returncode == 3
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith(b"warning: ")]
    assert b"[Errno 28]" in said


@pytest.mark.process
def test_temporary_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Row 53: where there is none at all, `demo` says so in one line and ends with 3."""
    folders = ["/tmp", "/var/tmp", "/usr/tmp", str(tmp_path)]
    script = " && ".join(
        f"if [ -d {folder} ]; then mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}; fi"
        for folder in folders
    )
    prefix = faults.in_mount_namespace(script, tmp_path)
    done = run([*prefix, *command_line("demo")], env={**os.environ, "TMPDIR": "/nowhere"}, cwd="/proc")

    assert done.returncode == 3
    assert done.stderr.startswith(b"Error: ")
    assert len(done.stderr.splitlines()) == 1
