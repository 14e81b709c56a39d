"""`tail`: the last entries, then what arrives, in real processes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.cli.running import command_line, filled, json_lines, muse


@contextmanager
def following(repo: Path, *options: object) -> Iterator[subprocess.Popen[Any]]:
    """A process that follows session "s", begun: it has said so."""
    command = command_line("tail", "s", "-f", "--repo", repo, *options)
    with children.started(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"following" in process.stderr.readline()
        yield process


def lines(process: subprocess.Popen[Any], number: int) -> list[Any]:
    """The next lines of JSON; waits for them."""
    return [json.loads(children.pipe_of(process).readline()) for _ in range(number)]


@pytest.mark.parametrize("number", [0, 1, 10, 25, 100])
def test_last_entries_come_in_arrival_order(repo: Path, number: int) -> None:
    """With a filter, the last of those that fit."""
    entries = filled(repo, making.entries(60))
    fitting = [entry for entry in entries if entry["actor_id"] == "bob"]
    found = json_lines(muse("tail", "s", "-n", number, "--actor", "bob", "--json", "--repo", repo).stdout)

    assert plain_scan.exact_list(found) == plain_scan.exact_list(fitting[max(0, len(fitting) - number) :])


@pytest.mark.process
def test_every_entry_is_shown_once_while_writers_are_at_work(repo: Path) -> None:
    """From before the last ten to the end: 20,000 of four writers, the index rebuilt twice and deleted once."""
    filled(repo, making.entries(30))
    workers = [children.start_worker("record", repo, "s", name, 5_000) for name in ("eve", "kim", "pat", "zoe")]
    with following(repo, "--json") as process:
        shown = lines(process, 10)
        for worker in workers:
            children.go(worker)
        for _ in range(2):
            shown += lines(process, 3_000)
            with OpLog(repo, "s") as log:
                log.rebuild_index()
        shown += lines(process, 3_000)
        making.drop_index(repo)
        shown += lines(process, 11_000)
    for worker in workers:
        children.pipe_of(worker).read()
        children.end(worker)

    arrived = plain_scan.scan_file(making.log_path(repo)).op_ids
    assert [entry["op_id"] for entry in shown] == arrived[20:]
    assert len(arrived) == 20_030


@pytest.mark.process
def test_filters_and_fields_hold_for_what_arrives(repo: Path) -> None:
    """As they do for what was there; a table has its heading before the first entry comes."""
    with OpLog(repo, "s") as log:
        log.append(making.entry(1, actor_id="bob"))
        with (
            following(repo, "--actor", "ada", "--fields", "lamport_ts,actor_id") as table,
            following(repo, "--actor", "ada", "--json") as process,
        ):
            assert children.pipe_of(table).readline().split() == [b"lamport_ts", b"actor_id"]
            for number in range(2, 9):
                log.append(making.entry(number, actor_id=("ada", "bob")[number % 2]))
            assert [entry["lamport_ts"] for entry in lines(process, 4)] == [2, 4, 6, 8]
            assert [children.pipe_of(table).readline().split()[0] for _ in range(4)] == [b"2", b"4", b"6", b"8"]


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_it_with_128_and_its_number(repo: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C, or a service manager: what was printed is there, and nothing but a word about it is said."""
    filled(repo, making.entries(3))
    with following(repo, "--json") as process:
        lines(process, 3)
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)

    assert (process.returncode, rest, said) == (code, b"", b"stopped\n")


@pytest.mark.process
def test_reader_that_goes_away_ends_it_though_nothing_arrives(repo: Path) -> None:
    """`muse op-log tail -f | head -n 1` comes to its end, quietly."""
    filled(repo, making.entries(3))
    with following(repo, "--json") as process:
        children.pipe_of(process).readline()
        children.pipe_of(process).close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.process
def test_session_that_does_not_exist_yet_is_waited_for(repo: Path) -> None:
    """With --wait its first entries are shown as they come; waiting makes nothing."""
    with following(repo, "--wait", "--json") as process:
        assert making.tree(repo) == {}
        filled(repo, making.entries(2))
        with OpLog(repo, "s") as log:
            log.append(making.entry(3))
        assert [entry["lamport_ts"] for entry in lines(process, 3)] == [1, 2, 3]


def test_waiting_is_for_following(repo: Path) -> None:
    """Without --follow there is nothing to wait for; without --wait a session must exist."""
    for options in (("--wait",), ("-f",)):
        assert muse("tail", "s", *options, "--repo", repo).exit_code == 2


@pytest.mark.process
def test_damaged_lines_that_arrive_are_told_of(repo: Path) -> None:
    """Those that were there when it began, and later those that came, each once."""
    filled(repo, making.entries(2))
    making.add_bytes(making.log_path(repo), b"bad\n")
    with following(repo, "--json") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert b"1 damaged line passed over: muse op-log verify s --repo" in said
        making.add_bytes(making.log_path(repo), b"worse\nworst\n" + making.line(making.entry(3)))
        assert [entry["lamport_ts"] for entry in lines(process, 3)] == [1, 2, 3]
        assert process.stderr.readline() == said.replace(b"1 damaged line ", b"2 damaged lines ")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == b"stopped\n"
