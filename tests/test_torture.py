"""A short run of the torture harness; the long one is `nox -s torture -- --rounds 1000`."""

from __future__ import annotations

import random
import sys

import pytest

from tests import children
from tests.torture import mishap, schedule


@pytest.mark.process
def test_four_rounds_of_torture_break_no_promise() -> None:
    """Processes killed at any moment, logs put back older, indexes deleted, lines damaged: nothing is lost unnoticed.

    Nor is anything doubled, committed twice or wrongly indexed.
    """
    seed = random.SystemRandom().randrange(2**32)
    # A process of its own: rounds fork, and a fork of this one would carry the whole test run along.
    done = children.run(
        [sys.executable, "-m", "tests.torture", "--rounds", "4", "--seed", str(seed), "--size", "24"],
        deadline_s=280,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, f"python -m tests.torture --seed {seed} --size 24\n{done.stdout}\n{done.stderr}"
    assert f"seed {seed}, size 24, 4 rounds" in done.stdout


def test_a_seed_replays_its_schedule() -> None:
    """The same seed and round give the same plan, another seed another one."""
    assert schedule.plan(7, 13, 60) == schedule.plan(7, 13, 60)
    assert schedule.plan(7, 13, 60) != schedule.plan(8, 13, 60)
    assert schedule.plan_with_mishap(7, 13, 60) == schedule.plan_with_mishap(7, 13, 60)


def test_every_role_and_every_kind_of_kill_comes_up() -> None:
    """Within 20 rounds each role plays, and is killed alone, with its children, and in the middle of a line."""
    jobs = [job for number in range(1, 21) for job in schedule.plan(1, number, 60).jobs]
    assert {job.role for job in jobs} == set(schedule.MAIN_ROLES)
    assert {life.aim for job in jobs for life in job.lives} == {"", "process", "group", "line"}


def test_every_mishap_comes_up_and_who_strikes_is_never_killed() -> None:
    """Within 12 rounds each mishap happens, with all who are at work then; what it does is done to its end."""
    plans = [schedule.plan_with_mishap(1, number, 60) for number in range(1, 13)]
    assert {plan.mishap for plan in plans} == set(schedule.MISHAPS)
    assert {job.role for plan in plans for job in plan.jobs} == set(mishap.ROLES)
    assert {life.aim for plan in plans for job in plan.jobs if job.role == "strike" for life in job.lives} == {""}
