"""How much memory grows while a large session is iterated; `python -m benchmarks.memory REPO` is the child."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections import deque
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.built import SESSION
from benchmarks.entries import PROJECT
from benchmarks.figure import Figure
from muse.core.op_log import OpLog

MIB = 1 << 20
_STATUS = Path("/proc/self/status")


def iterating(bench: Bench) -> Figure:
    """The peak of resident memory during the iteration, less what was resident before it."""
    built = bench.session(bench.size.big)
    command = [sys.executable, "-m", "benchmarks.memory", str(built.repo)]
    grown = []
    for _ in range(bench.few_rounds):
        done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)  # noqa: S603  # ours
        grown.append(int(done.stdout))
    return Figure(
        f"memory grown while iterating {built.ops:,} entries",
        "",
        median(grown) / MIB,
        16.0,
        median(grown),
        None,
        "bytes",
        unit="MiB",
        rounds=[growth / MIB for growth in grown],
    )


def _resident_bytes(peak: str) -> int:
    if _STATUS.exists():
        status = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(status[peak].split()[0]) * 1024
    # Without /proc only the peak is known, which is in bytes on macOS; the growth of the peak is not less
    # than what counts as long as nothing before was larger.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _grow(repo: Path) -> int:
    with OpLog(repo, SESSION) as log:
        log.next_lamport_ts()
        before = _resident_bytes("VmRSS")
        deque(log, maxlen=0)
        return _resident_bytes("VmHWM") - before


if __name__ == "__main__":
    sys.stdout.write(f"{_grow(Path(sys.argv[1]))}\n")
