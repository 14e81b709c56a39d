"""One owner at a time: whoever comes in again is refused, forks hand nothing on, what is dropped is closed."""

from __future__ import annotations

import gc
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.core.op_log import HandleInUseError, OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry
from tests.reliability.interrupting import descriptors

ROUNDS = int(os.environ.get("MUSE_TEST_ROUNDS", "100"))
"""How many signals or forks; `nox -s interrupts` takes 10,000."""


def run(script: str, *arguments: object) -> str:
    """Run a script in a child, whose crash would be the test's failure; gives what it printed."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    done = children.run(command, deadline_s=children.DEADLINE_S + ROUNDS / 5)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3_000:]
    return str(done.stdout.decode())


def test_callback_that_uses_the_handle_it_is_called_by_is_refused(log: OpLog) -> None:
    """Row 40: a progress callback gets HandleInUseError for every call, and what it was called by goes on."""
    log.append_many(entries(50))
    uses: dict[str, Callable[[], object]] = {
        "append": lambda: log.append(entry(1_000)),
        "len": lambda: len(log),
        "iterate": lambda: next(iter(log)),
        "close": log.close,
        "verify": log.verify,
    }
    refused: list[str] = []

    def progress(_done: int, _total: int) -> None:
        for name, use in uses.items():
            with pytest.raises(HandleInUseError, match="in the middle of using"):
                use()
            refused.append(name)

    assert log.verify(progress=progress).ok
    log.rebuild_index(progress=progress)
    assert set(refused) == set(uses)
    making.assert_same_as_scan(log, log.path)


def test_callback_may_use_a_handle_of_its_own(repo: Path) -> None:
    """Row 40: another handle on the same session works in the middle of a call of the first."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(50))

        def progress(_done: int, _total: int) -> None:
            with OpLog(repo, "s") as other:
                other.record("ada", "music", {"op": "seen"})

        assert log.verify(progress=progress).ok
        making.assert_same_as_scan(log, log.path)


@pytest.mark.process
@pytest.mark.parametrize("use", ["record", "len", "query", "close"])
def test_signal_handler_that_uses_the_handle_it_interrupts_is_refused_or_served(repo: Path, use: str) -> None:
    """Row 40: at random moments the interpreter does not crash, nothing waits for itself, nothing is lost."""
    told = run(
        """
        import random, signal, sys, time
        from muse.core.op_log import ClosedLogError, HandleInUseError, OpLog
        repo, use, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
        log = OpLog(repo, "s")
        count = {"refused": 0, "served": 0}
        failed = []

        def handle(_number, _frame):
            try:
                {"record": lambda: log.record("handler", "code", {"op": "x"}), "len": lambda: len(log),
                 "query": lambda: list(log.query(limit=3)), "close": log.close}[use]()
                count["served"] += 1
            except (HandleInUseError, ClosedLogError):
                count["refused"] += 1
            except BaseException as error:
                # Raised in a finaliser or a callback of SQLite's it would be ignored by Python.
                failed.append(repr(error))
            finally:
                signal.setitimer(signal.ITIMER_REAL, random.random() * 0.002 + 1e-5)

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        recorded = 0
        while sum(count.values()) < rounds and not failed:
            try:
                log.record("main", "music", {"op": "x"})
                recorded += 1
                if not recorded % 50:
                    len(log), list(log.query(limit=3))
            except ClosedLogError:
                log = OpLog(repo, "s")
        # Not to be started again by a handler that is at work.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        log.close()
        assert not failed, failed
        print(recorded, count["served"], count["refused"])
        """,
        repo,
        use,
        ROUNDS,
    )
    recorded, served, _refused = map(int, told.split())
    scanned = plain_scan.scan_file(making.log_path(repo))
    by = [each["actor_id"] for each in scanned.entries]
    assert by.count("main") == recorded
    assert by.count("handler") == (served if use == "record" else 0)
    assert not scanned.damaged
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        assert log.verify().ok


@pytest.mark.process
@pytest.mark.parametrize("use", ["record", "len", "follow", "checkpoint", "open and close"])
def test_exceptions_from_signals_at_random_moments_leave_nothing_behind(repo: Path, use: str) -> None:
    """Row 39: no descriptor, lock or transaction is left, another thread is served, and what was recorded is there.

    Whoever follows, and after an interrupt goes on behind the last entry that he got, gets each one once.
    """
    told = run(
        """
        import gc, json, os, random, signal, sys, threading
        from muse.core.op_log import OpLog
        from tests.reliability.interrupting import assert_nothing_is_left, descriptors
        import warnings; warnings.simplefilter("ignore", ResourceWarning)
        repo, use, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])

        class Stop(BaseException): pass

        def handle(_number, _frame):
            raise Stop

        signal.signal(signal.SIGALRM, handle)
        log = OpLog(repo, "s")
        log.record("main", "music", {"op": "first"})
        known = 1
        followed = []
        numbers = iter(range(10**9))

        def open_and_close():
            with OpLog(repo, "s") as other:
                len(other)

        def follow():
            log.record("main", "music", {"op": "x"})
            after = {"since": followed[-1]} if followed else {"from_start": True}
            for each in log.follow(**after, timeout=random.choice((0, 0.002))):
                followed.append(each["op_id"])

        work = {"record": lambda: log.record("main", "music", {"op": "x"}), "len": lambda: len(log), "follow": follow,
                "checkpoint": lambda: log.checkpoint(str(next(numbers))), "open and close": open_and_close}[use]
        for number in range(rounds):
            try:
                try:
                    # Again and again: Python ignores what is raised in a finaliser or a callback of SQLite's.
                    signal.setitimer(signal.ITIMER_REAL, random.random() * 0.002 + 1e-6, 0.01)
                    while True:
                        work()
                        known += use in ("record", "follow")
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except (Stop, SystemError):  # what CPython 3.11 makes of it if another one comes just when it is raised
                pass
            if use == "open and close":
                # A second interrupt in the middle of cleaning up after the first leaves it to the garbage collector: at
                # once, or the next is opened beside it, and SQLite keeps the descriptors of all for the next ones.
                gc.collect()
            if not number % 20:
                assert_nothing_is_left(log)
                gc.collect()
                assert len(descriptors()) <= 8, descriptors()
        assert_nothing_is_left(log)
        if use == "follow":
            follow()
        print(json.dumps([known, len(log), followed]))
        log.close()
        """,
        repo,
        use,
        ROUNDS,
    )
    known, there, followed = json.loads(told)
    scanned = plain_scan.scan_file(making.log_path(repo))
    assert len(scanned.entries) == there >= known
    assert followed == (scanned.op_ids if use == "follow" else [])
    assert not scanned.damaged


@pytest.mark.process
def test_forks_by_three_threads_leave_no_handle_locked(repo: Path) -> None:
    """Row 41: in parent and child every handle goes on, while others fork, append and describe all sessions."""
    run(
        """
        import os, sys, threading
        from muse.core.op_log import OpLog, describe_sessions
        repo, rounds = sys.argv[1], int(sys.argv[2])
        log = OpLog(repo, "s")
        log.record("first", "music", {"op": "x"})
        left, failed, done = [rounds], [], threading.Event()

        def fork():
            while left[0] > 0 and not failed:
                left[0] -= 1
                child = os.fork()
                if not child:
                    status = 1
                    try:
                        log.record("child", "music", {"op": "x"})
                        describe_sessions(repo)
                        status = 0
                    finally:
                        os._exit(status)
                if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                    failed.append(child)

        def work():
            while not done.is_set():
                log.record("parent", "music", {"op": "x"})
                describe_sessions(repo)

        forking = [threading.Thread(target=fork) for _ in range(3)]
        working = [threading.Thread(target=work) for _ in range(2)]
        for each in forking + working:
            each.start()
        for each in forking:
            each.join()
        done.set()
        for each in working:
            each.join()
        assert not failed
        log.close()
        """,
        repo,
        ROUNDS,
    )
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        assert log.verify().ok
    assert sum(each["actor_id"] == "child" for each in scanned.entries) >= ROUNDS


@pytest.mark.process
def test_handle_made_while_a_fork_waits_is_not_used_until_it_is_over(repo: Path) -> None:
    """Row 41: a fork that waits for one handle is not surprised by another one that is in the middle of SQLite."""
    told = run(
        """
        import logging, os, sys, threading, time
        from muse.core.op_log import OpLog
        logging.basicConfig(stream=sys.stdout)
        repo = sys.argv[1]
        log = OpLog(repo, "s")
        log.record("ada", "music", {"op": "x"})
        OpLog(repo, "t").close()
        inside, over = threading.Event(), threading.Event()

        def progress(done, total):
            inside.set()
            time.sleep(0.5)

        def make():
            while not over.is_set():
                with OpLog(repo, "t") as other:
                    for _ in range(1_000):
                        other.record("ada", "music", {"op": "x"})

        busy = threading.Thread(target=lambda: log.verify(progress=progress))
        making = threading.Timer(0.1, make)
        busy.start()
        inside.wait()
        making.start()
        child = os.fork()
        if not child:
            status = 1
            try:
                with OpLog(repo, "t") as other:
                    len(other)
                status = 0
            finally:
                sys.stdout.flush()
                os._exit(status)
        over.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        busy.join()
        making.join()
        log.close()
        """,
        repo,
    )
    assert told == ""


@pytest.mark.process
def test_fork_does_not_wait_for_a_handle_that_is_in_use_for_long(repo: Path) -> None:
    """Row 41: the child goes on with an index in memory, the parent's call ends as if there had been no fork."""
    run(
        """
        import os, sys, threading
        from muse.core.op_log import OpLog
        repo = sys.argv[1]
        log = OpLog(repo, "s")
        for number in range(20):
            log.record("ada", "music", {"op": "x"})
        inside, go_on = threading.Event(), threading.Event()

        def progress(done, total):
            inside.set()
            go_on.wait(60)

        report = []
        busy = threading.Thread(target=lambda: report.append(log.verify(progress=progress)))
        busy.start()
        inside.wait()
        child = os.fork()
        if not child:
            status = 1
            try:
                log.record("child", "music", {"op": "x"})
                status = len(log) != 21
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        go_on.set()
        busy.join()
        assert report[0].ok
        assert len(log) == 21
        log.close()
        """,
        repo,
    )


def test_handles_that_are_dropped_give_their_descriptors_back(repo: Path) -> None:
    """Row 27: with a ResourceWarning each, and without waiting for the garbage collector."""
    gc.disable()
    try:
        for number in range(1, 50):
            log = OpLog(repo, "s")
            log.append(entry(number))
            list(log.query(limit=3))
            with pytest.warns(ResourceWarning, match="dropped and not closed"):
                del log
            assert descriptors() == {}
    finally:
        gc.enable()


def test_an_iterator_keeps_its_log_open(repo: Path) -> None:
    """Row 27: a handle is not dropped while an iterator or the history of it is in use."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert sum(1 for _ in OpLog(repo, "s")) == 3_000
        assert len(list(OpLog(repo, "s").history.roots())) > 0
    assert descriptors() == {}


@pytest.mark.process
def test_out_of_descriptors_is_an_error_that_says_so_and_loses_nothing(repo: Path) -> None:
    """Row 27: an open handle goes on, and a new one says "Too many open files" and works once there are some."""
    run(
        """
        import os, resource, sys
        from muse.core.op_log import OpLog
        repo = sys.argv[1]
        log, other = OpLog(repo, "s"), OpLog(repo, "t")
        log.record("ada", "music", {"op": "x"})
        taken = [os.open("/dev/null", os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for number in range(600):
            log.record("ada", "music", {"op": "x"})
        try:
            other.record("ada", "music", {"op": "x"})
        except OSError as error:
            assert "Too many open files" in str(error) and "ops.jsonl" in str(error), error
        else:
            raise AssertionError("there was a descriptor left")
        os.close(taken.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1:] * 2)
        other.record("ada", "music", {"op": "x"})
        assert len(log) == 601 and len(other) == 1
        log.close(), other.close()
        """,
        repo,
    )


def test_no_memory_for_the_index_does_not_fail_an_append_that_was_written(
    log: OpLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 27: the line is in the log, so it is acknowledged; the index is opened anew."""
    log.append_many(entries(20))

    def no_memory(*_arguments: object) -> None:
        raise MemoryError

    # A real lack of memory can't be caused at one place alone.
    for name in ("add_entry", "write_next", "add"):
        with monkeypatch.context() as patched:
            patched.setattr("muse.core.index.store.Index." + name, no_memory)
            assert log.append(entry(100 + len(name))) is True
            assert log.append_many(entries(3, start=1_000 * len(name))) == 3 if name == "add" else True
        making.assert_same_as_scan(log, log.path)
