"""The plan: who writes what when, and after what."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from muse.cli.demo.plan import PlannedEdit, due_ticks, free_edits, planned, read_plan, until, write_plans
from muse.cli.demo.trace import Edit, read_trace


def some_edits(count: int, actors: int, seed: int = 1) -> list[Edit]:
    """Edits with random parents; an actor's edit depends on the one before it more often than not."""
    chance = random.Random(seed)
    edits: list[Edit] = []
    last: dict[int, int] = {}
    for number in range(count):
        actor = chance.randrange(actors)
        parents = {last[actor]} if actor in last and chance.random() < 0.8 else set()
        if number and chance.random() < 0.3:
            parents.add(chance.randrange(number))
        edits.append(Edit(f"actor {actor}", tuple(sorted(parents)), "code", {"op": "x", "n": number}))
        last[actor] = number
    return edits


EDITS = some_edits(500, 5)


def test_nothing_is_due_before_its_parents_or_before_its_actors_turn() -> None:
    """An actor makes one edit a tick, in order; an edit waits for its parents."""
    ticks = due_ticks(EDITS)

    made: dict[str, list[int]] = {}
    for edit, tick in zip(EDITS, ticks, strict=True):
        before = made.setdefault(edit.actor_id, [])
        assert tick == max([len(before), *before, *(ticks[parent] for parent in edit.parents)])
        before.append(tick)


@pytest.mark.parametrize("tick", [1, 20, 60, 10_000])
def test_edits_until_a_tick_keep_their_parents(tick: int) -> None:
    """What is left out is nobody's parent, and the numbers of the parents are right."""
    kept = until(EDITS, tick)

    assert [edit.domain_op for edit in kept] == [
        edit.domain_op for edit, due in zip(EDITS, due_ticks(EDITS), strict=True) if due < tick
    ]
    for edit in kept:
        before = EDITS[edit.domain_op["n"]]
        assert [kept[parent].domain_op["n"] for parent in edit.parents] == list(before.parents)


def test_timestamps_are_one_above_the_highest_known() -> None:
    """1 + the highest of the parents' and of the actor's previous edit, as the trace format says."""
    plan = planned(EDITS)

    last: dict[str, int] = {}
    for edit, made in zip(EDITS, plan, strict=True):
        known = [last.get(edit.actor_id, 0), *(plan[parent].lamport_ts for parent in edit.parents)]
        assert made.lamport_ts == 1 + max(known)
        assert made.parent_op_ids == [plan[parent].op_id for parent in edit.parents]
        last[edit.actor_id] = made.lamport_ts


def test_only_other_actors_edits_are_awaited() -> None:
    """One's own are written in order anyway."""
    plan = planned(EDITS)
    actor_of = {edit.op_id: edit.actor_id for edit in plan}

    for edit in plan:
        assert edit.awaited == [parent for parent in edit.parent_op_ids if actor_of[parent] != edit.actor_id]


@pytest.mark.parametrize("edits", [EDITS, some_edits(7, 3), some_edits(2, 2), some_edits(1, 1)])
def test_nobody_waits_in_vain_while_the_last_edits_are_held_back(edits: list[Edit]) -> None:
    """Played by any schedule, the free edits are all written before the cut, and then all the others."""
    plan = planned(edits)
    free = [edit for edit in plan if not edit.held]

    assert len(free) == free_edits(len(edits))
    assert write_as_far_as_possible(plan, held_may_go=False) == {edit.op_id for edit in free}
    assert write_as_far_as_possible(plan, held_may_go=True) == {edit.op_id for edit in plan}


def write_as_far_as_possible(plan: list[PlannedEdit], *, held_may_go: bool) -> set[str]:
    """The op_ids that actors get to write, each in its own order and after what it awaits."""
    queues: dict[str, list[PlannedEdit]] = {}
    for edit in plan:
        queues.setdefault(edit.actor_id, []).append(edit)
    written: set[str] = set()
    moved = True
    while moved:
        moved = False
        for queue in queues.values():
            while queue and (held_may_go or not queue[0].held) and set(queue[0].awaited) <= written:
                written.add(queue.pop(0).op_id)
                moved = True
    return written


def test_plan_files_hold_the_plan(tmp_path: Path) -> None:
    """One file for each actor, in the order of its edits."""
    plan = planned(EDITS)

    paths = write_plans(plan, tmp_path)

    assert set(paths) == {edit.actor_id for edit in plan}
    for actor_id, path in paths.items():
        assert read_plan(path) == [edit for edit in plan if edit.actor_id == actor_id]


@pytest.mark.parametrize("name", ["code-friendsforever", "music-lieder-revisions", "music-mozart-k465"])
def test_recorded_traces_can_be_played_to_their_end(traces: Path, name: str) -> None:
    """With real dependences too, nobody waits in vain, before the cut or after it."""
    plan = planned(read_trace(traces / f"{name}.jsonl.gz"))

    before = write_as_far_as_possible(plan, held_may_go=False)
    assert len(before) == free_edits(len(plan))
    assert len(write_as_far_as_possible(plan, held_may_go=True)) == len(plan)
