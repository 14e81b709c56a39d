"""The sweeps: each byte cut, each bit flipped, each page and row replaced, and the plain scan asked every time.

    python -m tests.reliability.sweeps            # a sample, as in the default suite
    python -m tests.reliability.sweeps --full     # all of it, on every core

A sweep has numbered cases; a case that fails is repeated with `--sweep NAME --case NUMBER`.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import cast

import muse.core.maintenance.verify
from muse.core.op_log import DamagedCheckpointError, OpLog, VerifyReport
from tests import making, plain_scan
from tests.plain_scan import exact, exact_list
from tests.reliability import faults
from tests.reliability.index_sweeps import IndexBits, IndexInnerPages, IndexPages, IndexRows, IndexTruncations
from tests.reliability.material import make, quick_folder
from tests.reliability.sweeping import FINE, REFUSED, Sweep, Wrong, must

LAST_LINES = 20

_NEW = making.entry(123_456)


class _LogSweep(Sweep):
    """What the two sweeps over ops.jsonl share: 25 lines, of which the checkpoint covers 16."""

    def __init__(self) -> None:
        self.material = make(25, 8)
        spans = [span for span in _lines(self.material.log) if span[1] - span[0] > 100]
        self.first = spans[-LAST_LINES][0]

    def entries(self, log: OpLog, data: bytes) -> plain_scan.PlainScan:
        """What is read must be what the plain scan reads."""
        scanned = plain_scan.scan(data)
        must(exact_list(log.read_all()) == exact_list(scanned.entries), "read_all differs from the plain scan")
        must(len(log) == len(scanned.entries), "the length differs from the plain scan")
        return scanned

    def read(self, log: OpLog, data: bytes) -> plain_scan.PlainScan:
        """Every whole-log answer must be the plain scan's."""
        scanned = self.entries(log, data)
        must(log.actors() == plain_scan.tally(scanned.entries, "actor_id"), "actors differ from the plain scan")
        return scanned

    def append(self, log: OpLog, data: bytes) -> plain_scan.PlainScan:
        """An append must add one whole line and leave all bytes before it as they are."""
        must(log.append(_NEW) is True, "the append added nothing")
        now = log.path.read_bytes()
        must(now.startswith(data), "the append changed bytes before it")
        seal = b"\n" if data and not data.endswith(b"\n") else b""
        must(now[len(data) :].startswith(seal + b'{"op_id":'), "the new entry is not on a line of its own")
        scanned = self.read(log, now)
        must(scanned.op_ids[-1] == _NEW["op_id"], "the new entry is not the last one")
        return scanned


def _lines(data: bytes) -> list[tuple[int, int]]:
    spans, start = [], 0
    for line in data.split(b"\n")[:-1]:
        spans.append((start, start + len(line) + 1))
        start += len(line) + 1
    return spans


def _assert_same_damage(report: VerifyReport, scanned: plain_scan.PlainScan) -> None:
    making.assert_damage_told(report, scanned)
    must(report.entries == len(scanned.entries), "verify counts other entries than the plain scan")
    must(report.counts.get("index-differs", 0) == 0, "the index differs from the log after it was used")


class LogTruncations(_LogSweep):
    """ops.jsonl cut at every byte of its last 20 lines; the index kept (ahead of the log), or gone."""

    stride = 397

    def __len__(self) -> int:
        return 2 * (len(self.material.log) - self.first + 1)

    def attempt(self, number: int, repo: Path) -> str:
        """Cut, open, read, verify, append, verify."""
        data = self.material.log[: self.first + number // 2]
        index = self.material.index if number % 2 else None
        self.material.put(repo, index_db=index, checkpoint_json=None if index is None else self.material.checkpoint)
        with OpLog(repo, "s") as log:
            log.path.write_bytes(data)
            scanned = self.read(log, data)
            report = log.verify()
            _assert_same_damage(report, scanned)
            must(report.pending_tail_bytes == len(scanned.tail), "the torn tail has another length")
            torn = [(each.byte_offset, each.length) for each in report.findings if each.kind == "torn-tail"]
            expected = [(len(data) - len(scanned.tail), len(scanned.tail))] if scanned.tail else []
            held = any(each.byte_offset == len(data) - len(scanned.tail) for each in making.lost(report))
            must(torn == ([] if held else expected), f"the torn tail is reported as {torn}")
            self._assert_checkpoint(log, data)
            after = self.append(log, data)
            _assert_same_damage(log.verify(), after)
        return FINE

    def _assert_checkpoint(self, log: OpLog, data: bytes) -> None:
        if not log.path.with_name("checkpoint.json").exists():
            return
        whole = data.rfind(b"\n") + 1
        intact = whole >= json.loads(self.material.checkpoint)["byte_offset"]
        try:
            replayed = exact_list(log.replay_since_checkpoint())
        except DamagedCheckpointError:
            must(not intact, "a sound checkpoint was refused")
        else:
            must(intact, "a checkpoint beyond the log's end was used")
            must(replayed == exact_list(plain_scan.scan(data).entries[self.material.covered :]), "the replay differs")


class LogBits(_LogSweep):
    """Every bit of 20 lines of ops.jsonl flipped, with the index that knows their checksums."""

    stride = 2411

    def __init__(self) -> None:
        super().__init__()
        spans = plain_scan.scan(self.material.log).spans[-LAST_LINES:]
        # Lines that are entries, newlines included: what is no entry is not read again by a handle with an index.
        self.places = [at for span in spans for at in range(span.byte_offset, span.byte_offset + span.length + 1)]

    def __len__(self) -> int:
        return 8 * len(self.places)

    def attempt(self, number: int, repo: Path) -> str:
        """Flip, verify or not, read, append, verify, rebuild or not: the flip must have been noticed at its place."""
        at = self.places[number // 8]
        data = bytearray(self.material.log)
        data[at] ^= 1 << number % 8
        self.material.put(repo, ops_jsonl=bytes(data), **self.changes())
        with OpLog(repo, "s") as log:
            if number % 3 == 0:
                self.assert_noticed(log.verify(), at)
            self.entries(log, bytes(data))
            must(log.append(_NEW) is True, "the append added nothing")
            now = self.entries(log, log.path.read_bytes())
            must(now.op_ids[-1] == _NEW["op_id"], "the new entry is not the last one")
            self.assert_noticed(log.verify(), at)
            if number % 5 == 0:
                log.rebuild_index()
                self.read(log, log.path.read_bytes())
                self.assert_noticed(log.verify(), at)
        return FINE

    def changes(self) -> dict[str, bytes | None]:
        """What else is done to the session."""
        return {}

    def assert_noticed(self, report: VerifyReport, at: int) -> None:
        """A finding must name the line in which the bit was flipped."""
        must(not report.ok, "verify did not notice the flipped bit")
        places = [
            each
            for each in report.findings
            if each.severity == "damage"
            and each.byte_offset is not None
            and each.length is not None
            and each.byte_offset <= at < each.byte_offset + each.length
        ]
        must(places, f"no finding covers byte {at}: {report.counts}")


class LogBitsByDigest(LogBits):
    """A bit of each byte below the checkpoint flipped without any index: the record's digest must notice."""

    stride = 263

    def __init__(self) -> None:
        super().__init__()
        self.places = list(range(json.loads(self.material.checkpoint)["byte_offset"]))

    def __len__(self) -> int:
        return len(self.places)

    def attempt(self, number: int, repo: Path) -> str:
        """Flip one bit of that byte, another one in each."""
        return super().attempt(number * 8 + number % 8, repo)

    def changes(self) -> dict[str, bytes | None]:
        """No index."""
        return {"index_db": None}


class _RecordSweep(Sweep):
    """A damaged checkpoint.json is refused, or means exactly what it meant."""

    def __init__(self) -> None:
        self.material = make(25, 8)
        self.sound = exact(json.loads(self.material.checkpoint))
        self.pending = exact_list(plain_scan.scan(self.material.log).entries[self.material.covered :])

    def attempt(self, number: int, repo: Path) -> str:
        """Damage the record; read it, replay, try to checkpoint anew."""
        damaged = self.damage(number)
        # All but the record stay as they are, so only the first case of a folder lays them out.
        path = making.log_path(repo).with_name("checkpoint.json")
        if not path.parent.exists():
            self.material.put(repo, index_db=self.material.index if number % 2 else None)
        path.write_bytes(damaged)
        with OpLog(repo, "s") as log:
            try:
                record = log.read_checkpoint()
                replayed = exact_list(log.replay_since_checkpoint())
            except DamagedCheckpointError:
                self._assert_stays(log, path, damaged)
                return REFUSED
            must(record is not None, "the damaged record was taken for no checkpoint")
            must(exact(record) == self.sound, "the damaged record was read as another one")
            must(replayed == self.pending, "the replay differs")
        return FINE

    def _assert_stays(self, log: OpLog, path: Path, damaged: bytes) -> None:
        try:
            log.checkpoint("two")
        except DamagedCheckpointError as error:
            must("checkpoint.json" in str(error), "the error does not name the file")
        else:
            raise Wrong("a checkpoint was made over a damaged one")
        must(path.read_bytes() == damaged, "the damaged record was replaced")

    def damage(self, number: int) -> bytes:
        """The damaged bytes of a case."""
        raise NotImplementedError


class CheckpointTruncations(_RecordSweep):
    """checkpoint.json cut at every byte."""

    stride = 11

    def __len__(self) -> int:
        return len(self.material.checkpoint)

    def damage(self, number: int) -> bytes:
        """Cut."""
        return self.material.checkpoint[:number]


class CheckpointBits(_RecordSweep):
    """Every bit of checkpoint.json flipped."""

    stride = 37

    def __len__(self) -> int:
        return 8 * len(self.material.checkpoint)

    def damage(self, number: int) -> bytes:
        """Flip."""
        data = bytearray(self.material.checkpoint)
        data[number // 8] ^= 1 << number % 8
        return bytes(data)


class CrashPoints(Sweep):
    """A process killed on entering each system call that writes, by strace, in both durabilities."""

    stride = 127

    STEPS = ("append:1", "append:2", "batch:3-7", "checkpoint:a", "append:8", "rebuild", "append:9", "checkpoint:b")

    def __init__(self) -> None:
        self.strace = shutil.which("strace") or ""
        self.lengths = dict.fromkeys(("os", "fsync"), 0)
        for durability in self.lengths:
            if self.strace:
                self.lengths[durability] = self._calls(durability)

    def _calls(self, durability: str) -> int:
        with quick_folder() as name:
            output = Path(name) / "trace"
            before = [self.strace, "-f", "-qq", "-o", str(output), "-e", f"trace={faults.WRITING_CALLS}"]
            faults.run_child(Path(name) / "repo", *self.STEPS, durability=durability, before=before)
            return output.read_text().count("\n") if output.exists() else 0

    def __len__(self) -> int:
        return sum(self.lengths.values())

    def attempt(self, number: int, repo: Path) -> str:
        """Kill at that call; what was acknowledged must be there, once, and the checkpoint no less than granted."""
        durability = "os" if number < self.lengths["os"] else "fsync"
        when = number % self.lengths["os"] + 1
        told = faults.run_child(
            repo, *self.STEPS, durability=durability, before=faults.killed_at(self.strace, faults.WRITING_CALLS, when)
        )
        granted = max((each["result"] for each in told if each["step"].startswith("checkpoint")), default=0)
        with OpLog(repo, "s") as log:
            record = log.read_checkpoint()
            entries = plain_scan.scan_file(log.path).entries
            covered = 0 if record is None else record["op_count"]
            must(covered >= granted, "a checkpoint that was granted is gone")
            must(exact_list(log.replay_since_checkpoint()) == exact_list(entries[covered:]), "the replay differs")
        faults.assert_recovered(repo, told)
        strays = faults.names_in(faults.folder_of(repo)) - {"ops.jsonl", "index.db", "checkpoint.json"}
        must(all(stray.endswith((".tmp", ".new")) or stray.startswith("index.db.new") for stray in strays), str(strays))
        return FINE


SWEEPS: dict[str, Callable[[], Sweep]] = {
    "log-truncations": LogTruncations,
    "log-bits": LogBits,
    "log-bits-by-digest": LogBitsByDigest,
    "index-pages": IndexPages,
    "index-truncations": IndexTruncations,
    "index-bits": IndexBits,
    "index-inner-pages": IndexInnerPages,
    "index-rows": IndexRows,
    "checkpoint-truncations": CheckpointTruncations,
    "checkpoint-bits": CheckpointBits,
    "crash-points": CrashPoints,
}


@cache
def sweep_named(name: str) -> Sweep:
    """The sweep of this name; its material is made once in each process."""
    return SWEEPS[name]()


def quiet() -> None:
    """Spare the sweeps what thousands of damaged indexes have to say, and the wait for a living writer's tail."""
    logging.getLogger("muse").setLevel(logging.CRITICAL)
    muse.core.maintenance.verify._TAIL_WAIT_SECONDS = 0.0


def try_cases(name: str, numbers: Iterable[int]) -> tuple[Counter[str], list[str]]:
    """Try cases of one sweep; how often which outcome, and what went wrong."""
    sweep = sweep_named(name)
    outcomes: Counter[str] = Counter()
    wrong = []
    with quick_folder() as folder:
        for number in numbers:
            repo = Path(folder) / ("record" if isinstance(sweep, _RecordSweep) else "repo")
            try:
                outcomes["refused" if sweep.attempt(number, repo) else "fine"] += 1
            except Exception as error:  # noqa: BLE001 - a foreign exception is a finding like any other
                outcomes["wrong" if isinstance(error, AssertionError) else "foreign exception"] += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(last.filename).name}:{last.lineno}"
                wrong.append(f"{name} --case {number}: {type(error).__name__}: {str(error)[:300]} ({place})")
            if not isinstance(sweep, _RecordSweep):
                shutil.rmtree(repo, ignore_errors=True)
    return outcomes, wrong


def sample(name: str) -> range:
    """The cases of a sweep that the default suite tries."""
    sweep = sweep_named(name)
    return range(0, len(sweep), sweep.stride)


def _work(job: tuple[str, range]) -> tuple[str, Counter[str], list[str]]:
    quiet()
    return (job[0], *try_cases(*job))


def summary(name: str, outcomes: Counter[str]) -> str:
    """One line about a sweep that is done."""
    told = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items()))
    return f"{name:24} {outcomes.total():>8,} cases: {told}"


def main() -> int:
    """Run the sweeps and print how many cases there were and what went wrong; 1 where something did."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.sweeps", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every case, not a sample")
    parser.add_argument("--sweep", action="append", choices=SWEEPS, help="only this sweep (may be repeated)")
    parser.add_argument("--case", type=int, action="append", help="only this case of it, with its traceback")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    names = chosen.sweep or list(SWEEPS)
    if chosen.case:
        quiet()
        with quick_folder() as folder:
            for number in chosen.case:
                print(sweep_named(names[0]).attempt(number, Path(folder) / str(number)) or "fine")
        return 0
    jobs = []
    for name in names:
        cases = range(len(sweep_named(name))) if chosen.full else sample(name)
        jobs += [(name, cases[start : start + 400]) for start in range(0, len(cases), 400)]
    started = time.monotonic()
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
    failed = []
    with multiprocessing.get_context("spawn").Pool(chosen.processes) as pool:
        for name, counts, wrong in pool.imap_unordered(_work, jobs):
            outcomes[name] += counts
            failed += wrong
            for line in wrong[:3]:
                print(line, flush=True)
            if outcomes[name].total() == sum(len(cases) for other, cases in jobs if other == name):
                print(summary(name, outcomes[name]), flush=True)
    real = cast(_LogSweep, sweep_named("log-bits")).material.real
    print(f"entries: {'recorded traces' if real else 'made up'}; {time.monotonic() - started:.0f} s")
    print(f"{len(failed)} of {sum(counts.total() for counts in outcomes.values()):,} cases failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
