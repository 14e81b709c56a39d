"""What operators meet: a log that can't be read, a full disk. One line says it, and names the file that they know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import making
from tests.children import run
from tests.cli.running import command_line, filled, json_lines, muse
from tests.reliability import faults

_AS_ROOT = os.geteuid() == 0


@pytest.mark.parametrize(
    "cause",
    [
        "a folder in the place of the log",
        pytest.param("a log of mode 000", marks=pytest.mark.skipif(_AS_ROOT, reason="root reads every file")),
        pytest.param("a folder of mode 000", marks=pytest.mark.skipif(_AS_ROOT, reason="root reads every file")),
    ],
)
def test_log_of_one_session_can_not_be_read(repo: Path, cause: str) -> None:
    """Row 33: `sessions` shows the others as always, and this one with its error; exit code 3."""
    for session in ("a", "c"):
        filled(repo, making.entries(3), session)
    path = making.log_path(repo, "b")
    if cause.startswith("a folder in"):
        path.mkdir(parents=True)
    else:
        filled(repo, making.entries(3), "b")
        (path if cause.startswith("a log") else path.parent).chmod(0)
    try:
        table, as_json = muse("sessions", "--repo", repo), muse("sessions", "--repo", repo, "--json")
    finally:
        for each in (path.parent, path):
            each.chmod(0o755)

    assert table.exit_code == as_json.exit_code == 3
    rows = {row.split()[0]: row for row in table.stdout.splitlines()[1:]}
    assert rows.keys() == {"a", "b", "c"}
    assert rows["a"].split()[1:3] == rows["c"].split()[1:3] == ["3", "3"]
    assert rows["b"].split()[1:3] == ["?", "?"]
    assert "can't be read" in rows["b"]
    (said,) = [line for line in table.stderr.splitlines() if line.startswith("session ")]
    assert said.startswith("session 'b': [Errno ")
    found = sorted(json_lines(as_json.stdout)[0]["sessions"], key=lambda each: str(each["session_id"]))
    assert [(each["session_id"], each["problem"] is None) for each in found] == [("a", True), ("b", False), ("c", True)]


def test_checkpoint_of_a_session_is_damaged_and_its_log_is_gone(repo: Path) -> None:
    """That is damage, not a failure to read: exit code 1."""
    filled(repo, making.entries(3), "a")
    muse("checkpoint", "a", "c1", "--repo", repo)
    making.log_path(repo, "a").unlink()
    making.drop_index(repo, "a")

    assert muse("sessions", "--repo", repo).exit_code == 1


@pytest.mark.parametrize("words", [("report", "s", "-o", "x.html"), ("export", "s", "x.gz"), ("export", "s", "x.db")])
def test_folder_that_is_not_there_is_named(repo: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit code 3 and the file that was asked for, not the one beside it, which nobody has typed."""
    filled(repo, making.entries(3))
    file = tmp_path / "nowhere" / words[-1]
    done = muse(*words[:-1], file, "--repo", repo)

    assert done.exit_code == 3
    assert done.stderr.rstrip().endswith(f"'{file}'")


ON_A_FULL_DISK = {
    "rebuild-index": (("rebuild-index", "s", "--repo", "FULL"), "FULL/.muse/op_log/s/index.db"),
    "checkpoint": (("checkpoint", "s", "c1", "--repo", "FULL"), "FULL/.muse/op_log/s/checkpoint.json'"),
    "append": (("append", "t", "LINE", "--repo", "FULL"), "FULL/.muse/op_log/t/ops.jsonl"),
    "merge": (("merge", "t", "REPO", "s", "--repo", "FULL"), "FULL/.muse/op_log/t/ops.jsonl"),
    "import": (("import", "ARCHIVE", "t", "--repo", "FULL"), "FULL/.muse/op_log"),
    "demo": (("demo", "--speed", "max", "--repo", "FULL"), "FULL/.muse/op_log/demo/ops.jsonl"),
    "report": (("report", "s", "-o", "FULL/x.html", "--repo", "REPO"), "FULL/x.html"),
    "report --format svg": (("report", "s", "--format", "svg", "-o", "FULL/x.svg", "--repo", "REPO"), "FULL/x.svg"),
    "export": (("export", "s", "FULL/x.gz", "--repo", "REPO"), "FULL/x.gz"),
    "export of a database": (("export", "s", "FULL/x.db", "--repo", "REPO"), "FULL/x.db"),
}


@pytest.mark.process
@pytest.mark.parametrize("room_kib", [0, 16])
@pytest.mark.parametrize("command", ON_A_FULL_DISK)
def test_disk_is_full(repo: Path, tmp_path: Path, command: str, room_kib: int) -> None:
    """Row 34: full at once or after a while: one line names the file that was asked for, and nothing is left."""
    filled(repo, making.entries(3000))
    muse("export", "s", tmp_path / "archive", "--repo", repo)
    (tmp_path / "line").write_bytes(making.line(making.entry(1, note="x" * 60_000)))
    places = {"FULL": tmp_path / "full", "REPO": repo, "ARCHIVE": tmp_path / "archive", "LINE": tmp_path / "line"}
    places["FULL"].mkdir()
    words, named = ON_A_FULL_DISK[command]
    for name, place in places.items():
        words = tuple(word.replace(name, str(place)) for word in words)
        named = named.replace(name, str(place))
    script = (
        'mount -t tmpfs -o size=4m none "$0" && mkdir -p "$0/.muse/op_log/s" && cp "$1" "$0/.muse/op_log/s/"'
        f' && head -c {room_kib << 10} /dev/zero > "$0/room"'
        ' && (cat /dev/zero > "$0/ballast" 2>/dev/null || rm "$0/room")'
        " && trap 'ls -A \"$0\" >&1' EXIT"
    )
    prefix = faults.in_mount_namespace(script, places["FULL"], making.log_path(repo))
    prefix[4] = prefix[4].replace('shift; exec "$@"', 'log=$1; shift; "$@"')
    done = run([*prefix, *command_line(*words)], cwd=tmp_path)
    said = [line for line in done.stderr.decode().splitlines() if not line.startswith(("warning: ", "0 entries"))]

    if command == "checkpoint" and room_kib:
        assert done.returncode == 0
        return
    assert (done.returncode, len(said)) == (3, 1), said
    assert named in said[0]
    assert not any(word in said[0] for word in ("None", ".tmp", ".import-", ".building", "Traceback"))
    assert set(done.stdout.decode().split()) >= {".muse", "ballast"}
    assert not [name for name in done.stdout.decode().split() if name.startswith(".") and name != ".muse"]
