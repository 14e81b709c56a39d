"""Describing every session of a repository, from Python and on the command line."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench
from benchmarks.compare import compare, measure, timed, unprepared
from benchmarks.figure import Figure, figure_alone, figure_of
from benchmarks.others import plain
from benchmarks.start import muse, running
from muse.core.op_log import describe_sessions


def against_scan(bench: Bench) -> Figure:
    """Against a scan of every log."""
    sessions = bench.size.sessions
    repo = bench.repository(sessions)
    compared = compare(
        timed(unprepared(partial(describe_sessions, repo))),
        timed(unprepared(partial(plain.describe, repo / ".muse" / "op_log"))),
        rounds=bench.few_rounds,
        warm_up=False,
    )
    return figure_of(compared, f"describe_sessions, {sessions:,} sessions of 1,000 entries", "plain scan", 0.06)


def listing(bench: Bench) -> Figure:
    """`muse op-log sessions`, the start of its process included."""
    sessions = bench.size.listed_sessions
    command = running(*muse(), "op-log", "sessions", "--repo", str(bench.repository(sessions)))
    seconds = measure(timed(unprepared(command)), rounds=bench.few_rounds)
    return figure_alone(seconds, f"muse op-log sessions, {sessions:,} sessions of 1,000 entries", "s", 0.5)
