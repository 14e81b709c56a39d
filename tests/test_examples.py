"""The programs in examples/, run as a newcomer runs them and held against a plain scan of their logs."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.outline_domain import Outline
from tests import children, making, plain_scan

pytestmark = pytest.mark.process

EXAMPLES = making.PROJECT / "examples"


def run(name: str, *arguments: object) -> str:
    """Run an example as a process of its own, with warnings as errors; return what it printed."""
    done = children.run([sys.executable, "-W", "error", EXAMPLES / name, *arguments], text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    return str(done.stdout)


def standing(entries: list[plain_scan.Entry]) -> list[tuple[str, str]]:
    """The lines of an outline: all that any operation wrote, without what any operation took away."""
    ops = [entry["domain_op"] for entry in entries]
    written = {op.get("new_content_id") or op["content_id"]: op for op in ops if op["op"] != "delete"}
    gone = {op["old_content_id"] if op["op"] == "replace" else op["content_id"] for op in ops if op["op"] != "insert"}
    return sorted(
        (op["address"], op.get("new_summary") or op["content_summary"])
        for content_id, op in written.items()
        if content_id not in gone
    )


def snapshot_of(repo: Path) -> Any:
    """The snapshot that a replica's checkpoint names, read as plain JSON."""
    mark = json.loads((repo / ".muse/op_log/talk/checkpoint.json").read_text())
    return json.loads((repo / f"snapshots/{mark['snapshot_id']}.json").read_text())


@pytest.fixture(scope="module")
def outlines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the outline example ran, and what it printed."""
    folder = tmp_path_factory.mktemp("outline")
    return folder, run("outline_domain.py", folder)


def test_replicas_of_the_outline_reach_the_same_state(outlines: tuple[Path, str]) -> None:
    """Committed apart and merged, both have the same snapshot, twice, and a conflict shows until it is settled."""
    _, printed = outlines
    _, merged, settled = re.split("on both, (?:merged|settled).*:\n", printed)

    assert printed.count("same snapshot on both: True") == 2
    assert "1    Why a log beside the commits\n1    Why not just commit\n" in merged
    assert settled.startswith("1    Why a log, and not just commits\n2  ")


@pytest.mark.parametrize("place", ["office", "train"])
def test_a_snapshot_of_the_outline_is_what_a_plain_scan_adds_up_to(outlines: tuple[Path, str], place: str) -> None:
    """The state that many small commits made is the state of all operations, taken as a set."""
    folder, _ = outlines
    found = plain_scan.scan_file(making.log_path(folder / place, "talk"))

    assert [*found.damaged, *found.duplicates, *found.conflicts] == []
    assert sorted(map(tuple, snapshot_of(folder / place)["lines"].values())) == standing(found.entries)


@pytest.mark.parametrize("seed", range(5))
def test_the_outline_is_the_same_in_whatever_order_its_operations_come(outlines: tuple[Path, str], seed: int) -> None:
    """Shuffled, half of them told twice, in deltas of seven: the state is that of the set."""
    folder, _ = outlines
    entries = plain_scan.scan_file(making.log_path(folder / "office", "talk")).entries
    order = random.Random(seed)
    told = entries + order.sample(entries, len(entries) // 2)
    order.shuffle(told)

    outline = Outline()
    for start in range(0, len(told), 7):
        ops: Any = [entry["domain_op"] for entry in told[start : start + 7]]
        outline.apply({"domain": "outline", "ops": ops, "summary": ""})

    assert sorted(outline.lines.values()) == standing(entries)


def test_commits_of_the_outline_lose_no_edit_that_arrives_meanwhile(outlines: tuple[Path, str]) -> None:
    """The last checkpoint covers every entry, and the last snapshot has each of the hundred lines."""
    folder, printed = outlines
    entries = plain_scan.scan_file(making.log_path(folder / "office", "talk")).entries
    mark = json.loads((folder / "office/.muse/op_log/talk/checkpoint.json").read_text())

    assert mark["op_count"] == len(entries)
    assert [text for _, text in standing(entries) if text.startswith("Example")] == [
        f"Example {number}" for number in range(1, 101)
    ]
    assert "the last snapshot has 100 of them" in printed


def test_an_edit_of_the_outline_names_what_it_replaces_as_its_parent(outlines: tuple[Path, str]) -> None:
    """Whatever is replaced or deleted was written by the very operation that the edit depends on."""
    folder, _ = outlines
    for entry in plain_scan.scan_file(making.log_path(folder / "office", "talk")).entries:
        op = entry["domain_op"]
        replaced = {"insert": [], "replace": [op.get("old_content_id")], "delete": [op.get("content_id")]}
        assert entry["parent_op_ids"] == replaced[op["op"]]


def test_the_outline_example_runs_without_a_folder() -> None:
    """In a temporary folder it prints the same states."""
    assert run("outline_domain.py").count("same snapshot on both: True") == 2


EXPECTED_STEPS = sorted(
    [("planner", "insert", "done")]
    + [
        (actor_id, kind, f"{section}{below}")
        for section in (1, 2, 3)
        for actor_id, kind, below in (
            ("planner", "insert", ""),
            ("writer", "insert", "/draft"),
            ("critic", "insert", "/remark"),
            ("writer", "replace", "/draft"),
            ("critic", "mutate", ""),
        )
    ]
)


def steps(entries: list[plain_scan.Entry]) -> list[tuple[str, str, str]]:
    """Who did what where, sorted."""
    return sorted((entry["actor_id"], entry["domain_op"]["op"], entry["domain_op"]["address"]) for entry in entries)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the agents worked, and what they printed."""
    folder = tmp_path_factory.mktemp("agents")
    return folder, run("three_agents.py", folder)


def test_agents_complete_the_plan_together(agents: tuple[Path, str]) -> None:
    """Each step is there once, and each agent has the state that the log replays."""
    folder, printed = agents
    found = plain_scan.scan_file(making.log_path(folder, "article"))

    assert steps(found.entries) == EXPECTED_STEPS
    assert [*found.damaged, *found.duplicates, *found.conflicts] == []
    for name in ("planner", "writer", "critic"):
        number = sum(entry["actor_id"] == name for entry in found.entries)
        assert f"{name}: {number} ops, has what the log replays: True\n" in printed


def test_agents_answer_what_they_saw(agents: tuple[Path, str]) -> None:
    """Every parent arrived before its child and is the step that called for it; one op is answered by none."""
    folder, printed = agents
    entries = plain_scan.scan_file(making.log_path(folder, "article")).entries
    above: dict[str, plain_scan.Entry] = {}
    for entry in entries:
        kind, address = entry["domain_op"]["op"], entry["domain_op"]["address"]
        called_for = {
            ("insert", "draft"): ["insert"],
            ("insert", "remark"): ["insert"],
            ("replace", "draft"): ["insert", "insert"],
            ("mutate", ""): ["replace"],
            ("insert", "done"): ["mutate"] * 3,
        }.get((kind, address.lstrip("123/")), [])
        assert [above[op_id]["domain_op"]["op"] for op_id in entry["parent_op_ids"]] == called_for
        above[entry["op_id"]] = entry
    answered = {op_id for entry in entries for op_id in entry["parent_op_ids"]}

    assert [entry["domain_op"]["address"] for entry in entries if entry["op_id"] not in answered] == ["done"]
    assert "the ops that nothing answers: [16]\n" in printed


@pytest.mark.parametrize("lines", [1, 8, 16])
def test_agents_that_were_stopped_go_on_where_they_were(agents: tuple[Path, str], tmp_path: Path, lines: int) -> None:
    """Started on the first lines of a session, they add what is missing and nothing twice."""
    folder, _ = agents
    begun = making.log_bytes(folder, "article").splitlines(keepends=True)[:lines]
    making.add_bytes(making.log_path(tmp_path, "article"), b"".join(begun))

    run("three_agents.py", tmp_path)

    assert making.log_bytes(tmp_path, "article").startswith(b"".join(begun))
    assert steps(plain_scan.scan_file(making.log_path(tmp_path, "article")).entries) == EXPECTED_STEPS
