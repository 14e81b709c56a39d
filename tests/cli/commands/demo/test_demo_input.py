"""What the demo takes: the edits that ship, other traces, a folder; and what it refuses."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest

from muse.cli.commands.demo import story
from muse.cli.commands.demo.command import MARKER, _own_folder
from muse.cli.commands.demo.trace import read_trace
from tests import making, plain_scan
from tests.cli.commands.demo.test_demo import EDITS, assert_recorded
from tests.cli.running import filled, logged, muse, muse_process

EDIT: dict[str, Any] = {"actor_id": "ada", "parents": [], "domain": "chess", "domain_op": {"op": "x"}}


def trace(path: Path, *edits: Any) -> Path:
    """A trace of these lines."""
    path.write_text("".join(json.dumps(edit) + "\n" for edit in edits), encoding="utf-8")
    return path


def played(ops: list[dict[str, Any]]) -> list[str]:
    """What stands in an empty document after these operations."""
    items: list[str] = []
    for op in ops:
        match op["op"]:
            case "insert":
                items.insert(op["position"], op["content_summary"])
            case "delete":
                assert items.pop(op["position"]) == op["content_summary"]
            case "move":
                items.insert(op["to_position"], items.pop(op["from_position"]))
            case "replace" | "mutate":
                assert items[op["position"]] == op["old_summary"]
                items[op["position"]] = op["new_summary"]
            case "patch":
                for child in op["child_ops"]:
                    assert items[child["position"]] == child["old_summary"]
                    items[child["position"]] = child["new_summary"]
    return items


def test_edits_that_ship_make_a_tune_and_a_program() -> None:
    """Played in their order, they end as Frère Jacques in two voices and as Python that compiles."""
    address: dict[str, list[dict[str, Any]]] = {}
    for edit in EDITS:
        address.setdefault(edit["domain_op"]["address"], []).append(edit["domain_op"])
    tune = "CDECCDEC EFG EFG GAGFEC GAGFEC CGC CGC".replace(" ", "")

    assert 200 <= len(EDITS) <= 400
    assert address.keys() == {"round/first", "round/second", "sing.py"}
    for voice in ("round/first", "round/second"):
        assert "".join(note[0] for note in played(address[voice])) == tune
    program = "".join(played(address["sing.py"]))
    compile(program, "sing.py", "exec")
    assert program.startswith("BEATS = 4\n\n\ndef sing(melody, voices, bars=2):\n")


@pytest.mark.process
def test_other_trace_is_recorded_line_by_line(tmp_path: Path) -> None:
    """As fast as possible, gzipped, into a folder and session of one's own; --json says what happened."""
    edits = [
        {
            "actor_id": f"actor {number % 4}",
            "parents": sorted({max(0, number - back) for back in (1, 7)}) if number else [],
            "domain": ("code", "chess")[number % 2],
            "domain_op": {"op": "x", "number": number},
        }
        for number in range(120)
    ]
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(trace(tmp_path / "trace", *edits).read_bytes()))
    repo = tmp_path / "new"
    done = muse_process("demo", "--trace", path, "--speed", "max", "--repo", repo, "--session", "of friday", "--json")
    said = json.loads(done.stdout)
    entries = plain_scan.scan_file(making.log_path(repo, "of%20friday")).entries

    assert (done.returncode, said["ok"], all(said["checks"].values())) == (0, True, True)
    assert_recorded([entry for entry in entries if entry["actor_id"] != "offline reviewer"], edits)
    assert len(entries) == said["edits"] + said["merged"] == 120 + said["merged"]
    assert said["committed"] + said["pending"] == 120
    assert said["pending"] >= 24
    assert b"Every check held" in done.stderr
    assert not list(tmp_path.rglob("*.git"))


@pytest.mark.process
@pytest.mark.parametrize(("edits", "pending"), [(1, 0), (10, 2)])
def test_any_number_of_edits_will_do(tmp_path: Path, edits: int, pending: int) -> None:
    """However fast they are recorded, a fifth of them is kept for what comes after the commit."""
    path = trace(tmp_path / "trace", *[EDIT] * edits)
    done = muse("demo", "--trace", path, "--speed", "max", "--repo", tmp_path, "--json")

    assert done.exit_code == 0
    assert json.loads(done.stdout)["pending"] >= pending
    assert len(logged(tmp_path, "demo")) > edits


@pytest.mark.process
def test_edit_that_the_log_refuses_ends_the_demo(tmp_path: Path) -> None:
    """An actor that fails takes the others with it: exit code 3, its reason in one line."""
    path = trace(tmp_path / "trace", EDIT, {**EDIT, "actor_id": "bob", "domain_op": "no object"}, EDIT)
    done = muse("demo", "--trace", path, "--speed", "max", "--repo", tmp_path)

    assert done.exit_code == 3
    # On a busy machine the engine may warn that another process is still making the index.
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert said.startswith("Error: the process of bob failed: domain_op")


@pytest.mark.process
def test_check_that_does_not_hold_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and nobody is told that all is well."""
    plain = story.plain
    monkeypatch.setattr(story, "plain", lambda log: plain(log)[1:])
    path = trace(tmp_path / "trace", *[EDIT] * 10)
    done = muse("demo", "--trace", path, "--speed", "max", "--repo", tmp_path)

    assert done.exit_code == 1
    assert "FAILED: the log holds each" in done.stdout
    assert "Every check held" not in done.stdout


@pytest.mark.parametrize(
    "bad",
    [
        {},
        [],
        {**EDIT, "parents": [1]},
        {**EDIT, "parents": [-1]},
        {**EDIT, "parents": [True]},
        {**EDIT, "parents": None},
        {**EDIT, "actor_id": ""},
        {**EDIT, "domain": 3},
        {**EDIT, "domain_op": {"x": 2**64}},
        {**EDIT, "domain_op": {"x": "\ud800"}},
        {**EDIT, "domain_op": {"x": float("nan")}},
    ],
)
def test_bad_line_is_named_before_anything_is_made(tmp_path: Path, bad: Any) -> None:
    """The file and the number of the line, and exit code 1."""
    path = trace(tmp_path / "trace", EDIT, bad)
    done = muse("demo", "--trace", path, "--repo", tmp_path / "new")

    assert done.exit_code == 1
    assert f"{path}: line 2: " in done.stderr
    assert not (tmp_path / "new").exists()


def test_damaged_or_empty_file_is_bad_data(tmp_path: Path) -> None:
    """Cut short, overwritten, not JSON, or with nothing in it."""
    whole = gzip.compress(trace(tmp_path / "trace", *[EDIT] * 500).read_bytes())
    for damaged in (whole[:-20], whole[:20] + b"\0" * 20 + whole[40:], b"{", b""):
        (tmp_path / "trace").write_bytes(damaged)
        with pytest.raises(click.ClickException, match="trace: ") as caught:
            read_trace(tmp_path / "trace")
        assert caught.value.exit_code == 1


def test_too_many_actors_are_refused(tmp_path: Path) -> None:
    """Each would be a process."""
    path = trace(tmp_path / "trace", *({**EDIT, "actor_id": str(number)} for number in range(201)))
    done = muse("demo", "--trace", path, "--repo", tmp_path / "new")

    assert (done.exit_code, (tmp_path / "new").exists()) == (2, False)
    assert "process" in done.stderr


@pytest.mark.parametrize("below", ["", story.REPLICA])
def test_session_that_exists_is_left_alone(repo: Path, below: str) -> None:
    """In a folder of the user's nothing is replaced: exit code 2."""
    filled(repo / below, [making.entry(1)], "demo")
    before = making.tree(repo)
    done = muse("demo", "--repo", repo)

    assert done.exit_code == 2
    assert "--session" in done.stderr
    assert making.tree(repo) == before


def test_only_its_own_folder_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one without the marker, nor one behind a link, nor one in which another demo is at work."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with _own_folder() as folder:
        (folder / "x" / "y").mkdir(parents=True)
        (folder / "link").symlink_to(tmp_path)
        assert muse("demo").exit_code == 2
        assert (folder / "x" / "y").is_dir()
    with _own_folder():
        assert [path.name for path in folder.iterdir()] == [MARKER]

    kept = folder.rename(tmp_path / "kept")
    (kept / "mine").touch()
    folder.symlink_to(kept)
    assert muse("demo").exit_code == 2
    folder.unlink()
    (kept / MARKER).unlink()
    kept = kept.rename(folder)
    assert muse("demo").exit_code == 2
    assert "not made by the demo" in muse("demo").stderr
    assert [path.name for path in kept.iterdir()] == ["mine"]
