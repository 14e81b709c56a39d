"""The demo as a newcomer runs it: what it leaves, read by plain programs, is what it says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import children, making, plain_scan
from tests.cli.running import command_line, muse

pytestmark = pytest.mark.process

DATA = making.PROJECT / "muse" / "cli" / "commands" / "demo" / "session.jsonl"
EDITS: list[dict[str, Any]] = [json.loads(line) for line in DATA.read_bytes().splitlines()]
SCRIPT = "import sys; sys.path[0] = sys.argv.pop(1); from muse.cli import main; main(prog_name='muse')"


class Left(NamedTuple):
    """What a demo left: its folder, the bytes of its log, its entries in arrival order, what it told."""

    folder: Path
    log: bytes
    entries: list[dict[str, Any]]
    told: str


def left(place: Path, *arguments: str, path: str) -> Left:
    """Run a demo in an empty environment, no terminal, from a folder with another package of the same name."""
    elsewhere = place / "elsewhere"
    (elsewhere / "muse").mkdir(parents=True)
    (elsewhere / "muse" / "__init__.py").write_text("raise ImportError('not this one')\n", encoding="utf-8")
    environment = {"PATH": path, "HOME": str(place), "TMPDIR": str(place), "COLUMNS": "20"}
    command = [sys.executable, "-c", SCRIPT, making.PROJECT, "op-log", "demo", *arguments]
    done = children.run(command, cwd=elsewhere, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    # On a busy machine the engine may warn that another process is still making the index.
    assert all(line.startswith(b"warning: ") for line in done.stderr.splitlines())
    folder = place / f"muse-demo-{os.getuid()}"
    scan = plain_scan.scan_file(making.log_path(folder, "demo"))
    return Left(folder, making.log_bytes(folder, "demo"), scan.entries, done.stdout.decode())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The demo without any option."""
    return left(tmp_path_factory.mktemp("demo"), path=os.environ["PATH"])


def assert_recorded(entries: list[dict[str, Any]], edits: list[dict[str, Any]]) -> None:
    """Each edit is there once: unchanged, in the order of its actor, after its parents and above them."""
    own = {actor: iter([e for e in entries if e["actor_id"] == actor]) for actor in {e["actor_id"] for e in edits}}
    place = {entry["op_id"]: number for number, entry in enumerate(entries)}
    matched: list[dict[str, Any]] = []
    for edit in edits:
        entry = next(own[edit["actor_id"]])
        parents = [matched[number] for number in edit["parents"]]
        assert (entry["domain"], entry["domain_op"]) == (edit["domain"], edit["domain_op"])
        assert entry["parent_op_ids"] == [parent["op_id"] for parent in parents]
        assert all(place[parent["op_id"]] < place[entry["op_id"]] for parent in parents)
        assert all(parent["lamport_ts"] < entry["lamport_ts"] for parent in parents)
        matched.append(entry)
    assert not any(list(rest) for rest in own.values())


def test_log_holds_each_edit_of_the_data_once(demo: Left) -> None:
    """Three actors' edits of two domains, and after them what the replica added."""
    ours = [entry for entry in demo.entries if entry["actor_id"] != "offline reviewer"]

    assert_recorded(ours, EDITS)
    assert {edit["actor_id"] for edit in EDITS} == {"ada", "grace", "lin"}
    assert {edit["domain"] for edit in EDITS} == {"code", "music"}
    assert demo.entries[: len(ours)] == ours
    assert len(demo.entries) > len(ours)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_what_had_arrived_at_its_cut(demo: Left) -> None:
    """Git itself has the first lines of the log, their operations in total order, and part of the edits is pending."""

    def in_commit(name: str) -> bytes:
        command = ["git", "-C", str(demo.folder), "show", f"refs/muse/demo:{name}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    lines = in_commit("ops.jsonl")
    covered = [json.loads(line) for line in lines.splitlines()]
    checkpoint = json.loads(making.log_path(demo.folder, "demo").with_name("checkpoint.json").read_bytes())

    assert demo.log.startswith(lines)
    assert len(EDITS) // 2 <= len(covered) < len(EDITS)
    assert (checkpoint["byte_offset"], checkpoint["op_count"]) == (len(lines), len(covered))
    assert f"{len(covered)} edits, music" in demo.told
    assert f"Pending for the next commit: {len(EDITS) - len(covered)} edits" in demo.told
    covered.sort(key=lambda entry: (entry["lamport_ts"], entry["actor_id"], entry["op_id"]))
    for domain in ("code", "music"):
        ops = [entry["domain_op"] for entry in covered if entry["domain"] == domain]
        assert json.loads(in_commit(f"deltas/{domain}.json"))["ops"] == ops


def test_replica_holds_the_same(demo: Left) -> None:
    """It began as a part, and both have all of both in the end."""
    theirs = plain_scan.scan_file(making.log_path(demo.folder / "demo-replica", "demo")).entries

    assert sorted(theirs, key=str) == sorted(demo.entries, key=str)
    assert theirs != demo.entries


def test_telling_ends_with_commands_that_work(demo: Left, tmp_path: Path) -> None:
    """Each can be copied and run; what was pending is committed then. No check failed."""
    assert "Every check held" in demo.told
    assert "FAILED" not in demo.told
    assert "  ok: verify reads" in demo.told
    folder = shutil.copytree(demo.folder, tmp_path / "copy")
    lines = [shlex.split(line) for line in demo.told.split("Try next:")[1].splitlines() if line.strip()]
    assert [words[2] for words in lines] == ["watch", "stats", "show", "report", "commit"]
    for program, group, *shown in lines:
        assert (Path(program).name, group) == ("muse", "op-log")
        words = [word.replace(str(demo.folder), str(folder)) for word in shown]
        # The live view is refused where there is no terminal.
        assert muse(*words).exit_code == (2 if words[0] == "watch" else 0), words
    assert (folder / "report.html").stat().st_size > 10_000
    assert json.loads(muse("count", "demo", "--since-checkpoint", "--repo", folder, "--json").stdout)["count"] == 0


def test_without_git_it_makes_a_checkpoint_and_says_so(tmp_path: Path) -> None:
    """Nothing else is missing, and the commands to try don't name `commit`."""
    told = left(tmp_path, "--speed", "max", path="/nowhere")
    checkpoint = json.loads(making.log_path(told.folder, "demo").with_name("checkpoint.json").read_bytes())

    assert "No commit, only a checkpoint: git is not installed" in told.told
    assert told.log[: checkpoint["byte_offset"]].count(b"\n") == checkpoint["op_count"] < len(EDITS)
    assert "op-log checkpoint demo snapshot-2 --repo" in told.told
    assert "Every check held" in told.told


def test_actors_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    """Nobody writes on, though they have been sent more edits than they have recorded."""
    command = command_line("demo", "--seconds", "12", "--repo", tmp_path)
    with children.started(command, stdout=subprocess.DEVNULL) as process:
        while not making.log_bytes(tmp_path, "demo"):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
        size = -1
        while size != (size := len(making.log_bytes(tmp_path, "demo"))):
            time.sleep(0.5)

    assert making.log_bytes(tmp_path, "demo").count(b"\n") < len(EDITS) // 2
