"""Describing every session of a repository."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench
from benchmarks.compare import compare, timed, unprepared
from benchmarks.figure import Figure, figure_of
from benchmarks.others import plain
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
    return figure_of(compared, f"describe_sessions, {sessions:,} sessions of 1,000 entries", "plain scan", 0.08)
