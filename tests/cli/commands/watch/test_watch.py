"""`muse op-log watch` on a real terminal, with a session that other processes write."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests import making
from tests.cli.commands.watch.terminal import Watching, watching
from tests.cli.running import ESCAPE, filled, muse, muse_process

pytestmark = pytest.mark.process


@pytest.fixture
def session(repo: Path) -> Path:
    """A repository with a session of three ops."""
    filled(repo, making.entries(3))
    return repo


def test_ops_of_another_process_appear_with_totals_and_pending(session: Path) -> None:
    """Totals, rates, newest ops and what is pending follow the log; a checkpoint is seen."""
    with watching("s", "--repo", session) as watch, OpLog(session, "s") as log:
        watch.terminal.wait_for("3 ops")
        watch.terminal.wait_for("3 pending, no checkpoint yet")
        log.record("newcomer", "music", {"op": "insert", "address": "bar:77", "content_summary": "F sharp"})
        watch.terminal.wait_for("4 ops")
        watch.terminal.wait_for("bar:77            F sharp")
        watch.terminal.wait_for(lambda: re.search(r"newcomer +1 +(1\.0|0\.[1-9]) ", watch.terminal.text) is not None)
        log.checkpoint("snap-9")
        watch.terminal.wait_for("0 pending, since checkpoint 'snap-9'")


def test_index_made_anew_is_survived_and_told(session: Path) -> None:
    """After a rebuild, and after another file took the place of the index, every op is still counted once."""
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("3 ops")
        assert muse("rebuild-index", "s", "--repo", session).exit_code == 0
        filled(session, making.entries(2, start=10))
        watch.terminal.wait_for("5 ops")
        making.drop_index(session)
        making.log_path(session).with_name("index.db").write_bytes(b"nonsense" * 1000)
        filled(session, making.entries(2, start=20))
        watch.terminal.wait_for("7 ops")
        watch.terminal.wait_for("not a usable index")
        assert f"{'ada':20}  {3:9}" in watch.terminal.text
        assert f"{'bob':20}  {4:9}" in watch.terminal.text


def test_damage_is_found_as_it_comes(session: Path) -> None:
    """A damaged line with its byte offset, a torn tail that stays, a checkpoint that can't be read."""
    path = making.log_path(session)
    with watching("s", "--repo", session, lines=40, columns=120) as watch:
        watch.terminal.wait_for("no findings since the watch began")
        at = path.stat().st_size
        making.add_bytes(path, b"no entry\n")
        watch.terminal.wait_for(f"damaged line at byte {at:,}, 9 bytes")
        making.add_bytes(path, b"half")
        path.with_name("checkpoint.json").write_text("{}")
        watch.terminal.wait_for("checkpoint damaged")
        watch.terminal.wait_for("pending unknown")
        watch.terminal.wait_for(f"now torn tail at byte {at + 9:,}, 4 bytes")
        filled(session, making.entries(1, start=50))
        watch.terminal.wait_for(lambda: "now torn tail" not in watch.terminal.text)


def test_replaced_log_is_told_and_watched_from_then_on(session: Path) -> None:
    """The log that lies there now is counted, and the finding stays."""
    path = making.log_path(session)
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("3 ops")
        other = path.with_name("other")
        other.write_bytes(b"".join(map(making.line, making.entries(8, start=100))))
        other.replace(path)
        watch.terminal.wait_for("8 ops")
        watch.terminal.wait_for("log replaced")


def test_v_verifies_the_session(session: Path) -> None:
    """The bottom line says what the full check found, and the findings have it."""
    making.add_bytes(making.log_path(session), b"no entry\n")
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("no findings")
        watch.terminal.type("v")
        watch.terminal.wait_for("1 damaged-line in 3 entries")
        watch.terminal.wait_for("damaged-line at byte")


def test_screen_follows_the_size_of_the_window(session: Path) -> None:
    """Made smaller and larger, the keys stand in the last line and the ops reach down to it."""
    with watching("s", "--repo", session) as watch:
        for columns, lines in ((80, 24), (40, 12), (200, 60)):
            watch.terminal.resize(columns, lines)
            watch.terminal.wait_for(lambda: watch.terminal.text.split("\n")[-1].startswith("q quit"))
            watch.terminal.wait_for("LAMPORT")


def interrupted(watch: Watching) -> int:
    """End with Ctrl-C."""
    watch.terminal.type("\x03")
    return watch.end()


def terminated(watch: Watching) -> int:
    """End with SIGTERM."""
    watch.process.send_signal(signal.SIGTERM)
    return watch.end()


def hung_up(watch: Watching) -> int:
    """Close the window."""
    watch.terminal.close()
    return watch.process.wait(timeout=20)


@pytest.mark.parametrize(
    ("end", "codes"),
    [(interrupted, {0}), (terminated, {128 + signal.SIGTERM}), (hung_up, {0, 128 + signal.SIGHUP})],
)
def test_every_end_is_clean(session: Path, end: Callable[[Watching], int], codes: set[int]) -> None:
    """Ctrl-C, a signal and a closed window end it without a traceback, the terminal as it was before."""
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("3 ops")
        assert end(watch) in codes
        assert "Traceback" not in watch.terminal.sent


def test_suspended_it_gives_the_terminal_back_and_takes_it_again(session: Path) -> None:
    """Ctrl-Z gives it back; where no shell is there to stop for, as here, all is drawn anew at once."""
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("3 ops")
        watch.terminal.type("\x1a")
        watch.terminal.wait_for(lambda: watch.terminal.sent.count("\x1b[?1049h") == 2)
        assert watch.terminal.sent.count("\x1b[?1049l") == 1
        watch.terminal.wait_for("3 ops")


def test_nothing_is_sent_while_nothing_happens(session: Path) -> None:
    """A quiet session costs a slow connection nothing."""
    with watching("s", "--repo", session) as watch:
        watch.terminal.wait_for("q quit")
        before = watch.terminal.sent
        watch.terminal.read(0.5)
        assert watch.terminal.sent == before


@pytest.mark.parametrize("no_color", ["", "1"])
def test_only_the_colours_of_the_screen_are_sent_if_they_are_wanted(repo: Path, no_color: str) -> None:
    """Headings are bold unless NO_COLOR is set; names of actors reach the terminal as text."""
    filled(repo, [making.entry(1, actor_id=ESCAPE, domain=ESCAPE)])
    with watching("s", "--repo", repo, NO_COLOR=no_color) as watch:
        watch.terminal.wait_for("\\x1b[31mred")
        assert ("\x1b[1m" in watch.terminal.sent) == (not no_color)
        for unwanted in ("\x1b]", "\x9b", "\u202e", "\x1b[31m"):
            assert unwanted not in watch.terminal.sent


@pytest.mark.parametrize("arguments", [("s",), ("absent",)])
def test_no_terminal_or_no_session_is_wrong_usage(session: Path, arguments: tuple[str]) -> None:
    """The message says what to do instead, or which sessions there are."""
    done = muse_process("watch", *arguments, "--repo", session)

    assert done.returncode == 2
    assert done.stdout == b""
    assert (b"muse op-log tail -f s" if arguments == ("s",) else b"it has: s") in done.stderr


def test_terminal_that_can_not_place_its_cursor_is_refused(session: Path) -> None:
    """A dumb terminal is told the same as a pipe."""
    with watching("s", "--repo", session, TERM="dumb") as watch:
        assert watch.end() == 2
        assert "tail -f" in watch.terminal.sent
