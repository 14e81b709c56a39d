"""The demo as a whole: real processes, real files, a telling for people."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import children, making, plain_scan
from tests.cli.demo.test_plan import some_edits
from tests.cli.running import filled, logged, muse, muse_process

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _temporary_folders_go_away(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo keeps for its user is not kept here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("kept")))
    monkeypatch.setattr(tempfile, "tempdir", None)


def demo(repo: Path, *arguments: object, **changes: Any) -> tuple[dict[str, Any], str]:
    """Run the demo as a process; return what it says it did, and its telling."""
    done = muse_process("demo", "--repo", repo, "--json", *arguments, **changes)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return json.loads(done.stdout), done.stderr.decode()


def trace_file(path: Path, count: int, actors: int, domains: tuple[str, ...] = ("code",)) -> Path:
    """A synthetic trace with much cross dependence."""
    with path.open("w", encoding="utf-8") as file:
        for number, edit in enumerate(some_edits(count, actors)):
            line = {
                "actor_id": edit.actor_id,
                "parents": edit.parents,
                "domain": domains[number % len(domains)],
                "domain_op": edit.domain_op,
            }
            file.write(json.dumps(line) + "\n")
    return path


def assert_recorded(repo: Path, trace: list[dict[str, Any]], merged_in: int, session: str = "demo") -> None:
    """Compare the log with the trace: each line once, by its actor, after its parents, with its timestamp."""
    entries = plain_scan.scan_file(making.log_path(repo, session)).entries
    assert len(entries) == len(trace) + merged_in
    actors = {line["actor_id"] for line in trace}
    place = {entry["op_id"]: number for number, entry in enumerate(entries)}
    recorded = [entry for entry in entries if entry["actor_id"] in actors]
    own: dict[str, list[dict[str, Any]]] = {}
    for entry in recorded:
        own.setdefault(entry["actor_id"], []).append(entry)
        assert all(place[parent] < place[entry["op_id"]] for parent in entry["parent_op_ids"])
    taken = {actor: iter(found) for actor, found in own.items()}
    matched: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    for line in trace:
        entry = next(taken[line["actor_id"]])
        assert (entry["domain"], entry["domain_op"]) == (line["domain"], line["domain_op"])
        assert entry["parent_op_ids"] == [matched[parent]["op_id"] for parent in line["parents"]]
        known = [last.get(line["actor_id"], 0), *(matched[parent]["lamport_ts"] for parent in line["parents"])]
        assert entry["lamport_ts"] == 1 + max(known)
        last[line["actor_id"]] = entry["lamport_ts"]
        matched.append(entry)
    assert not any(list(rest) for rest in taken.values())


def test_demo_records_what_ships_with_it() -> None:
    """By default: two domains, several processes, a fresh folder, every check held, within 20 seconds."""
    started = time.monotonic()
    done = muse_process("demo")
    elapsed_s = time.monotonic() - started
    telling = done.stdout.decode()

    assert (done.returncode, done.stderr) == (0, b""), telling
    assert elapsed_s < 20
    assert "FAILED" not in telling
    assert "every check held" in telling
    for said in ("Frère Jacques", "6 actors", "delta code: ", "delta music: ", "Checkpoint snapshot-1", "Pending"):
        assert said in telling
    assert len(re.findall(r"^ +\d+\.\d s +[\d,]+ in the log", telling, re.MULTILINE)) >= 3
    log = Path(re.findall(r"^The log: +(.*)$", telling, re.MULTILINE)[0])
    entries = plain_scan.scan_file(log).entries
    assert set(plain_scan.tally(entries, "domain")) == {"code", "music"}
    assert sum(len(entry["parent_op_ids"]) > 1 for entry in entries) > 100


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A short demo of what ships: its repository, what it says it did, its telling."""
    repo = tmp_path_factory.mktemp("short")
    kept = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("kept"))}
    return repo, *demo(repo, "--seconds", "0.5", "--session", "a session", env=kept)


def test_demo_says_what_it_did_as_json(short: tuple[Path, dict[str, Any], str]) -> None:
    """One object on standard output, in agreement with the files; the telling goes to standard error."""
    _, told, telling = short

    entries = plain_scan.scan_file(Path(told["log_path"])).entries
    assert told["ok"]
    assert told["acknowledged"] == told["edits"]
    assert told["edits"] + told["merged"]["came"] == len(entries)
    assert told["domains"] == plain_scan.tally(entries, "domain")
    assert told["actors"] == plain_scan.tally(entries, "actor_id")
    assert told["checkpoint"]["op_count"] + told["pending_after_checkpoint"] == told["edits"]
    assert 0 < told["checkpoint"]["op_count"] < told["edits"]
    assert told["findings"] == 0
    assert all(check["ok"] for check in told["checks"])
    replica = making.log_path(Path(told["replica_repo"]), "a%20session")
    assert set(plain_scan.scan_file(replica).op_ids) == {entry["op_id"] for entry in entries}
    assert "every check held" in telling


def test_commands_to_try_next_work(short: tuple[Path, dict[str, Any], str]) -> None:
    """Each command line that the telling ends with can be copied and run."""
    _, _, telling = short

    commands = [line.strip() for line in telling.split("Try next:")[1].splitlines() if line.strip()]
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command.split(" | ")[0])
        assert (Path(words[0]).name, words[1]) == ("muse", "op-log")
        assert muse(*words[2:]).exit_code == 0, command


def test_trace_is_recorded_line_by_line(repo: Path, tmp_path: Path) -> None:
    """Every line once, in its actor's process, after its parents and with their op_ids."""
    path = trace_file(tmp_path / "trace.jsonl", 600, 4, ("code", "music"))

    told, _ = demo(repo, "--trace", path, "--speed", "max")

    assert (told["edits"], set(told["deltas"])) == (600, {"code", "music"})
    assert_recorded(repo, json_trace(path), told["merged"]["came"])


def json_trace(path: Path) -> list[dict[str, Any]]:
    """The lines of a plain trace."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_trace_of_one_domain_is_said_to_have_one(repo: Path, tmp_path: Path) -> None:
    """There is one delta then, also when nobody knows the domain."""
    path = trace_file(tmp_path / "trace.jsonl", 50, 2, ("chess",))

    told, telling = demo(repo, "--trace", path, "--speed", "max")

    assert "All are of one domain, chess" in telling
    assert (set(told["deltas"]), set(told["domains"])) == ({"chess"}, {"chess"})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_traces_are_recorded_as_well(repo: Path, tmp_path: Path, count: int) -> None:
    """Nothing needs a certain number of edits."""
    told, _ = demo(repo, "--trace", trace_file(tmp_path / "t.jsonl", count, 2), "--speed", "max")

    assert told["edits"] == count


def test_pace_is_that_of_life(repo: Path, tmp_path: Path) -> None:
    """Without --speed, an actor makes about a hundred edits a second for the seconds given."""
    path = trace_file(tmp_path / "trace.jsonl", 2000, 1)

    told, _ = demo(repo, "--trace", path, "--seconds", "1.5")

    assert told["edits"] == 150
    made = [entry for entry in logged(repo, "demo") if entry["actor_id"] == "actor 0"]
    moments = sorted(datetime.fromisoformat(entry["created_at"]) for entry in made)
    assert 1.3 < (moments[-1] - moments[0]).total_seconds() < 4


def test_several_traces_make_one_session(repo: Path, tmp_path: Path) -> None:
    """--trace may be repeated: all is recorded into one session."""
    first = trace_file(tmp_path / "first.jsonl", 40, 2, ("code",))
    second = trace_file(tmp_path / "second.jsonl", 40, 2, ("music",))

    told, _ = demo(repo, "--trace", first, "--trace", second, "--speed", "max")

    assert (told["edits"], set(told["deltas"])) == (80, {"code", "music"})


def test_session_that_exists_is_left_alone(repo: Path) -> None:
    """The demo makes a new session or none: exit code 2, and nothing changed."""
    filled(repo, [making.entry(1)], "demo")
    before = making.tree(repo)

    result = muse("demo", "--repo", repo)

    assert result.exit_code == 2
    assert "--session" in result.stderr
    assert making.tree(repo) == before


def test_bad_trace_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """The line is named, with exit code 1."""
    (tmp_path / "trace.jsonl").write_text("{}\n", encoding="utf-8")

    result = muse("demo", "--trace", tmp_path / "trace.jsonl", "--repo", tmp_path / "new")

    assert result.exit_code == 1
    assert "line 1" in result.stderr
    assert not (tmp_path / "new").exists()


def test_too_many_actors_are_refused(tmp_path: Path) -> None:
    """Each would be a process."""
    path = trace_file(tmp_path / "trace.jsonl", 3000, 1000)

    result = muse("demo", "--trace", path, "--repo", tmp_path / "new")

    assert result.exit_code == 2
    assert "process" in result.stderr


def test_edit_that_the_log_refuses_ends_the_demo(repo: Path, tmp_path: Path) -> None:
    """An actor that fails takes the demo with it: exit code 3, what it said is shown, nobody hangs."""
    lines = json_trace(trace_file(tmp_path / "trace.jsonl", 30, 3))
    lines[10]["domain_op"] = "no object"
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    done = muse_process("demo", "--repo", repo, "--trace", path, "--speed", "max")

    assert done.returncode == 3
    assert b"domain_op" in done.stderr


def test_actors_end_when_the_main_process_dies(repo: Path, tmp_path: Path) -> None:
    """Killed in the middle, the demo leaves no process behind."""
    path = trace_file(tmp_path / "trace.jsonl", 4000, 3)
    command = [sys.executable, "-m", "muse", "op-log", "demo", "--repo", repo, "--trace", path, "--seconds", "30"]
    process = children.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not making.log_bytes(repo, "demo"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()

    size = -1
    deadline = time.monotonic() + 30
    while size != (size := len(making.log_bytes(repo, "demo"))):
        assert time.monotonic() < deadline, "somebody is still writing"
        time.sleep(0.5)


def test_check_that_does_not_hold_ends_with_exit_code_1(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim is named, and nobody is told that all is well."""
    path = trace_file(tmp_path / "trace.jsonl", 30, 2)
    monkeypatch.setattr("muse.cli.demo.story.parents_come_first", lambda _: False)

    result = muse("demo", "--repo", repo, "--trace", path, "--speed", "max")

    assert result.exit_code == 1
    assert "FAILED: every edit comes after those it depends on" in result.stdout
    assert "1 check FAILED" in result.stdout
    assert "every check held" not in result.stdout


@pytest.mark.slow
def test_recorded_trace_is_recorded_whole(traces: Path, repo: Path) -> None:
    """All edits of a real recording, by its actors as processes, at full speed; verify finds nothing."""
    path = traces / "code-friendsforever.jsonl.gz"

    told, _ = demo(repo, "--trace", path, "--speed", "max")

    with gzip.open(path) as lines:
        assert_recorded(repo, [json.loads(line) for line in lines], told["merged"]["came"])
    assert told["findings"] == 0


@pytest.mark.slow
def test_recorded_trace_plays_for_the_seconds_given(traces: Path, repo: Path) -> None:
    """Thirty-seven actors are thirty-seven processes; without --speed max a part is recorded."""
    told, _ = demo(repo, "--trace", traces / "music-lieder-revisions.jsonl.gz", "--seconds", "0.2")

    assert sum(actor.startswith("lc") for actor in told["actors"]) >= 36
    assert told["edits"] >= 36 * 10


def test_demo_works_from_any_folder(tmp_path: Path) -> None:
    """The actors find the package wherever the demo is started, past a folder of the same name."""
    (tmp_path / "muse").mkdir()
    (tmp_path / "muse" / "__init__.py").write_text("raise ImportError('not this one')\n", encoding="utf-8")
    script = "import sys; sys.path[0] = sys.argv.pop(1); from muse.cli import main; main()"

    done = children.run(
        [sys.executable, "-c", script, making.PROJECT, "op-log", "demo", "--seconds", "0.2"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr.decode()
