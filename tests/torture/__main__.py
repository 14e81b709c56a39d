"""`python -m tests.torture --rounds N [--seed S] [--size S]`: round after round, and one line at the end."""

from __future__ import annotations

import argparse
import copy
import faulthandler
import importlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tests import making
from tests.torture import check, check_mishap, narrow, schedule
from tests.torture import round as one_round
from tests.torture.evidence import SESSION, Evidence, Violation

CHECK_DEADLINE_S = 120
"""How long the check of a round may take before it counts as hanging."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds (default: 100)")
    parser.add_argument("--seed", type=int, default=None, help="replay the schedule of an earlier run")
    parser.add_argument("--size", type=int, default=60, help="about how many operations a writer makes in a round")
    parser.add_argument("--seconds", type=float, default=None, help="begin no round later than so long after the start")
    parser.add_argument("--first", type=int, default=1, help="begin with this round, the first of a session")
    parser.add_argument("--keep", type=Path, default=None, help="where to keep the session of a failed round")
    return parser.parse_args()


class Run:
    """The rounds of one run, and what they add up to."""

    def __init__(self, seed: int, size: int, keep: Path, work: Path) -> None:
        self.seed = seed
        self.size = size
        self.keep = keep
        self.work = work
        self.totals: Counter[str] = Counter()
        self.logged: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.broken: Violation | None = None
        self.began = time.monotonic()

    def go(self, first: int, rounds: int, seconds: float) -> None:
        """Run the rounds, up to the first that breaks a promise or begins too late."""
        evidence: Evidence | None = None
        for number in range(first, first + rounds):
            plan = schedule.plan(self.seed, number, self.size)
            evidence = evidence or Evidence(self.work / f"session-{plan.session}")
            try:
                with narrow.limits(narrow=plan.narrow):
                    seen = self._round(plan, evidence)
            except Violation as error:
                self.broken = error
                self._end_session(evidence, None)
                self._report(plan, evidence, error)
                return
            self.totals["rounds"] += 1
            self.totals["most leftovers"] = max(self.totals["most leftovers"], seen.leftovers)
            enough = number == first + rounds - 1 or time.monotonic() > self.began + seconds
            if plan.ends_session or enough:
                self._end_session(evidence, seen)
                shutil.rmtree(evidence.folder)
                evidence = None
            if enough:
                return

    def _round(self, plan: schedule.Plan, evidence: Evidence) -> check.Seen:
        if plan.without_index:
            making.drop_index(evidence.repo, SESSION)
        one_round.run(plan, evidence)
        with _in_time():
            seen = check.check_round(evidence, plan)
        self._mishap(evidence, plan)
        if plan.ends_session:
            with _in_time():
                check.check_end(evidence)
        return seen

    def _mishap(self, evidence: Evidence, plan: schedule.Plan) -> None:
        """Let something befall a copy of the session, with everything that was told about it so far."""
        harm = schedule.plan_with_mishap(self.seed, plan.number, self.size)
        harmed = Evidence(evidence.folder / "mishap", collapses=copy.deepcopy(evidence.collapses))
        folder = evidence.log_path(evidence.repo).parent
        if folder.exists():
            check.copy_session(folder, harmed.log_path(harmed.repo).parent, log_changes=True)
        one_round.run(harm, harmed)
        with _in_time():
            check_mishap.check(harmed, harm)
        self.totals["acknowledged"] += harmed.acknowledged
        self.totals["kills"] += harmed.kills
        self.met.update(harmed.met)
        self.logged.update(harmed.logged)
        shutil.rmtree(harmed.folder)

    def _end_session(self, evidence: Evidence, seen: check.Seen | None) -> None:
        self.totals["acknowledged"] += evidence.acknowledged
        self.totals["kills"] += evidence.kills
        self.totals["redacted"] += len(evidence.redacted)
        self.met.update(evidence.met)
        self.totals["checkpoints"] += sum(each.outcome == "made" for each in evidence.collapses.values())
        self.logged.update(evidence.logged)
        if seen is not None:
            self.totals["torn"] += seen.torn
            self.totals["repeated lines"] += seen.duplicates

    def _report(self, plan: schedule.Plan, evidence: Evidence, error: Violation) -> None:
        kept = Path(tempfile.mkdtemp(prefix="muse-torture-kept-", dir=self.keep)) / evidence.folder.name
        shutil.copytree(evidence.folder, kept)
        begin = plan.session * schedule.ROUNDS_PER_SESSION + 1
        print(
            f"round {plan.number} of seed {self.seed} broke a promise\n{error}\n"
            f"jobs: {[(job.role, job.durability, [life.aim for life in job.lives]) for job in plan.jobs]}\n"
            f"mishap: {schedule.plan_with_mishap(self.seed, plan.number, self.size).mishap}; "
            f"turns: {plan.turns}, narrow: {plan.narrow}, without index: {plan.without_index}; kept: {kept}\n"
            f"again: python -m tests.torture --seed {self.seed} --size {self.size} --first {begin} "
            f"--rounds {plan.number - begin + 1}",
            flush=True,
        )
        if error.__cause__ is not None:
            import traceback

            traceback.print_exception(error.__cause__)

    def summary(self) -> str:
        """The one line at the end."""
        found = Counter({self.broken.kind: 1} if self.broken else {})
        totals = self.totals
        return (
            f"torture: seed {self.seed}, size {self.size}, {totals['rounds']} rounds in "
            f"{time.monotonic() - self.began:.0f} s: {totals['acknowledged']} operations acknowledged, "
            f"{totals['kills']} kills, {totals['torn']} torn tails, {totals['checkpoints']} checkpoints, "
            f"{totals['redacted']} redacted, "
            f"{totals['repeated lines']} lines repeated, at most {totals['most leftovers']} leftovers; "
            f"{found['lost']} lost, {found['duplicated']} duplicated, {found['index']} index differences, "
            f"{found.total() - found['lost'] - found['duplicated'] - found['index']} other violations"
        )


@contextmanager
def _in_time() -> Iterator[None]:
    """Make one check before it counts as hanging; whatever goes wrong in it is a violation."""
    signal.alarm(CHECK_DEADLINE_S)
    try:
        yield
    except Violation:
        raise
    except Exception as error:
        raise Violation("fault", f"the check could not be made: {type(error).__name__}: {error}") from error
    finally:
        signal.alarm(0)


def _too_long(_number: int, _frame: object) -> NoReturn:
    faulthandler.dump_traceback()
    raise Violation("hang", f"the check took more than {CHECK_DEADLINE_S} s; its stack is on standard error")


def main() -> int:
    """Run, print the line, and return 1 where a promise was broken."""
    arguments = parse_arguments()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    if (arguments.first - 1) % schedule.ROUNDS_PER_SESSION:
        print("--first must be the first round of a session: 1, 11, 21, …", file=sys.stderr)
        return 2
    print(f"seed {seed}", flush=True)
    # The processes of a round are forked from this one: what is imported here, none of them has to import.
    importlib.import_module("sqlite_utils")
    one_round.adopt_orphans()
    signal.signal(signal.SIGALRM, _too_long)
    keep = arguments.keep or Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix="muse-torture-") as work:
        # What killed processes leave in the system's folder for temporary files goes with the rest.
        tempfile.tempdir = work
        run = Run(seed, arguments.size, keep, Path(work))
        try:
            run.go(arguments.first, arguments.rounds, arguments.seconds or float("inf"))
        finally:
            tempfile.tempdir = None
    print("mishaps:", ", ".join(f"{times} {text}" for text, times in sorted(run.met.items())))
    for text, times in run.logged.most_common(12):
        print(f"logged {times} times: {text}")
    print(run.summary(), flush=True)
    return 1 if run.broken else 0


if __name__ == "__main__":
    sys.exit(main())
