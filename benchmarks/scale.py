"""`python -m benchmarks.scale`: a very large session and repository, beside the same at 1/100 of the size."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.append import appending_to
from benchmarks.batch import batching_to
from benchmarks.bench import TAIL
from benchmarks.built import BATCH, Built, build, multiply
from benchmarks.compare import Contender, Work, compare, timed, unprepared
from benchmarks.entries import LATE, RARE
from benchmarks.figure import Figure, figure_of
from benchmarks.queries import RESULTS, querying
from benchmarks.replay import replaying
from benchmarks.report import Report
from benchmarks.resume import resuming
from muse.core.op_log import describe_sessions

PART = 100
APPENDS = 20_000
BATCHES = 20

_OnSession = Callable[[Built], AbstractContextManager[Work]]


@dataclass(frozen=True)
class _Pair:
    """A large session, and one of a hundredth of its size."""

    large: Built
    part: Built
    rounds: int

    def asked(self, what: str, contender: _OnSession, goal: float | None = None) -> Figure:
        """A question to the large one against the same to its part."""
        return self._compare(what, contender, partial(contender, self.part), goal, ops=1, rounds=5 * self.rounds)

    def appended(self, what: str, contender: _OnSession, goal: float, ops: int) -> Figure:
        """Appending to the large one, which grows by a little, against a fresh copy of its part each time."""

        @contextmanager
        def to_part() -> Iterator[Work]:
            with tempfile.TemporaryDirectory(dir=self.part.repo.parent) as folder:
                copy = self.part.copied_to(Path(folder) / "copy")
                with contender(copy) as work:
                    yield work

        return self._compare(what, contender, to_part, goal, ops=ops, rounds=self.rounds)

    def _compare(
        self, what: str, contender: _OnSession, with_part: Contender, goal: float | None, *, ops: int, rounds: int
    ) -> Figure:
        compared = compare(timed(partial(contender, self.large), ops=ops), timed(with_part, ops=ops), rounds=rounds)
        return figure_of(compared, f"{what}, {self.large.ops:,} entries", f"{self.part.ops:,} entries", goal)


_RESULTS = f"first {RESULTS} results"

# What makes the large session longer comes last: the others look at its end.
_SESSION_FIGURES: dict[str, Callable[[_Pair], Figure]] = {
    "resume": lambda pair: pair.asked("open and next timestamp", resuming, 1.3),
    "replay": lambda pair: pair.asked(f"replay of {TAIL:,} after a checkpoint", replaying),
    "query-actor": lambda pair: pair.asked(f"query by actor, {_RESULTS}", partial(querying, actor_id=RARE), 1.5),
    "query-domain": lambda pair: pair.asked(f"query by domain, {_RESULTS}", partial(querying, domain=RARE), 1.5),
    "query-late": lambda pair: pair.asked(
        f"query by an actor of the last entries, {_RESULTS}", partial(querying, actor_id=LATE), 2.0
    ),
    "append": lambda pair: pair.appended("append", partial(appending_to, appends=APPENDS), 1.3, APPENDS),
    "batch": lambda pair: pair.appended(
        f"append_many of {BATCH:,}, per op", partial(batching_to, count=BATCHES), 1.3, BATCHES * BATCH
    ),
}
_SESSIONS = "sessions"
_FIGURES = [*_SESSION_FIGURES, _SESSIONS]


def _built(folder: Path, ops: int, progress: Console) -> Built:
    progress.log(f"building a session of {ops:,} entries")
    built = build(folder / f"session-of-{ops}", ops, [TAIL])
    built.checkpoint(pending=TAIL)
    return built


def _describing(folder: Path, sessions: int, ops: int, rounds: int, progress: Console) -> Figure:
    template = build(folder / "template", ops, [ops // 2])
    samples = []
    for number in (sessions, sessions // PART):
        progress.log(f"building {number:,} sessions")
        repo = folder / f"{number}-sessions"
        multiply(template, repo, number, pending=ops // 2)
        samples.append(timed(unprepared(partial(describe_sessions, repo)), ops=number))
    compared = compare(*samples, rounds=rounds)
    return figure_of(compared, f"describe_sessions, per session, {sessions:,}", f"{sessions // PART:,} sessions")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=_FIGURES, default=_FIGURES, metavar="NAME", help=", ".join(_FIGURES)
    )
    parser.add_argument("--ops", type=int, default=10_000_000, help="entries of the session")
    parser.add_argument("--sessions", type=int, default=10_000, help="sessions of the repository")
    parser.add_argument("--session-ops", type=int, default=100, help="entries of each of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="measure on the file system of this folder")
    arguments = parser.parse_args()
    if arguments.ops < PART * TAIL or arguments.sessions < PART or min(arguments.session_ops, arguments.rounds) < 1:
        parser.error(f"at least {PART * TAIL:,} entries, {PART} sessions, 1 entry in each, 1 round")
    return arguments


def main() -> None:
    """Measure the sizes that the command line asks for."""
    arguments = _arguments()
    progress = Console(stderr=True)
    report = Report(
        f"Op log at scale, {arguments.rounds} rounds",
        {name: getattr(arguments, name) for name in ("ops", "sessions", "session_ops", "rounds")},
        sides=("whole", f"1/{PART}"),
    )
    with tempfile.TemporaryDirectory(prefix="muse-scale-", dir=arguments.folder) as name:
        folder = Path(name)
        try:
            asked = {figure: measure for figure, measure in _SESSION_FIGURES.items() if figure in arguments.only}
            if asked:
                part = _built(folder, arguments.ops // PART, progress)
                pair = _Pair(_built(folder, arguments.ops, progress), part, arguments.rounds)
            for figure, measure in asked.items():
                progress.log(figure)
                report.figures[figure] = measure(pair)
            if _SESSIONS in arguments.only:
                progress.log(_SESSIONS)
                report.figures[_SESSIONS] = _describing(
                    folder, arguments.sessions, arguments.session_ops, arguments.rounds, progress
                )
        finally:
            report.show()
            if arguments.json:
                report.write_json(arguments.json)


if __name__ == "__main__":
    main()
