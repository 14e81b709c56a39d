"""The command `ingest`: what it prints, how it ends, and how it follows."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from muse.cli.input.growing_file import GrowingFile
from muse.core.op_log import OpLog
from tests import children, making
from tests.cli.running import command_line, json_lines, logged, muse
from tests.ingest.transcripts import CLAUDE_CODE, claude, write

ALL = 19
"""How many operations the transcript holds."""
PRESET = ("--preset", "claude-code")
LINES = [json.dumps(line).encode() + b"\n" for line in CLAUDE_CODE]


def test_summary_for_people(repo: Path, tmp_path: Path) -> None:
    """A table, what was passed over, where sessions are kept; each line that can't be mapped, up to some."""
    path = write(tmp_path / "t.jsonl", *CLAUDE_CODE, *["bad}"] * 103)
    result = muse("ingest", "s", path, *PRESET, "--repo", repo)

    assert result.exit_code == 1
    head, row = result.stdout.splitlines()
    assert head.split() == ["SESSION", "LINES", "ADDED", "ALREADY", "THERE", "NOT", "MAPPED"]
    assert row.split() == ["s", str(len(CLAUDE_CODE) + 103), str(ALL), "0", "103"]
    assert result.stderr.count(": not JSON") == 100
    assert "and 3 more lines: --json lists all" in result.stderr
    assert "lines passed over: progress 1, summary 1" in result.stderr
    assert "sessions are kept in" in result.stderr


def test_input_may_be_compressed_and_come_by_a_pipe(repo: Path) -> None:
    """As `append` takes it."""
    done = muse("ingest", "s", "-", *PRESET, "--repo", repo, stdin=gzip.compress(b"\xef\xbb\xbf" + b"".join(LINES)))
    assert done.exit_code == 0
    assert len(logged(repo)) == ALL


def test_several_files_are_one_session(repo: Path, tmp_path: Path) -> None:
    """Each file has its own order; their operations are told apart."""
    other = [claude(number + 50, None, "user", f"again {number}") for number in range(3)]
    a, b = write(tmp_path / "a", *CLAUDE_CODE), write(tmp_path / "b", *other)
    assert muse("ingest", "s", a, b, *PRESET, "--repo", repo).exit_code == 0
    assert len(logged(repo)) == ALL + 3


def test_last_line_that_is_being_written_is_left_for_the_next_time(repo: Path, tmp_path: Path) -> None:
    """Cut anywhere, it is no mistake: the next time it is whole, and added."""
    path = tmp_path / "t.jsonl"
    # Also behind a brace, which ends an object inside the line.
    for cut in (1, 50, len(LINES[-1]) // 2, LINES[-1].index(b"}") + 1, len(LINES[-1]) - 2):
        path.write_bytes(b"".join(LINES[:-1]) + LINES[-1][:cut])
        result = muse("ingest", "s", path, *PRESET, "--repo", repo)
        assert result.exit_code == 0
        assert f"line {len(LINES)}: the line is not whole yet" in result.stderr
    path.write_bytes(b"".join(LINES).rstrip())
    assert muse("ingest", "s", path, *PRESET, "--repo", repo).exit_code == 0
    assert len(logged(repo)) == ALL


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--actor is missing"),
        (("--actor", "a"), "--domain is missing"),
        ((*PRESET, "--actor", "a"), "--actor: --preset claude-code knows the fields"),
        (("--preset", "x"), "--preset"),
        ((*PRESET, "-", "--follow"), "--follow is for files"),
    ],
)
def test_wrong_usage(repo: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Exit code 2, and nothing is made."""
    path = write(tmp_path / "t.jsonl", *CLAUDE_CODE)
    result = muse("ingest", "s", path, *options, "--repo", repo)
    assert result.exit_code == 2
    assert said in result.stderr
    assert making.tree(repo) == {}


def test_file_that_is_not_there_ends_with_3_and_what_was_before_it_stays(repo: Path, tmp_path: Path) -> None:
    """The system's own words, and the count of what was done."""
    path = write(tmp_path / "t.jsonl", *CLAUDE_CODE)
    result = muse("ingest", "s", path, tmp_path / "none", *PRESET, "--json", "--repo", repo)
    assert result.exit_code == 3
    assert json_lines(result.stdout)[-1]["added"] == ALL == len(logged(repo))


def test_guard_refuses_operations_and_the_rest_is_taken(repo: Path, tmp_path: Path) -> None:
    """They are listed as lines that can't be mapped; the secret is in no file below `.muse`, and not printed."""
    pytest.importorskip("detect_secrets")
    secret = "AKIA" + "Q3EGRT4XYZ7BWJ5N"
    leaks = [claude(40 + number, None, "user", f"my key is {secret}") for number in range(2)]
    path = write(tmp_path / "t.jsonl", leaks[0], *CLAUDE_CODE, leaks[1])
    result = muse("ingest", "s", path, *PRESET, "--guard", "secrets", "--json", "--repo", repo)

    *listed, told = json_lines(result.stdout)
    assert result.exit_code == 1
    assert [each["line"] for each in listed] == [1, len(CLAUDE_CODE) + 2]
    assert all("looks like a secret (AWS Access Key)" in each["error"] for each in listed)
    assert (told["added"], told["unmapped"]) == (ALL, 2)
    assert secret not in result.output
    assert not [file for file in (repo / ".muse").rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


@contextmanager
def following(repo: Path, *paths: Path) -> Iterator[subprocess.Popen[Any]]:
    """The command at work on files that grow."""
    command = command_line("ingest", "s", *paths, *PRESET, "--follow", "--json", "--repo", repo)
    with children.started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + children.DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count(repo: Path) -> int:
    """How many entries the log has."""
    return len(logged(repo)) if making.log_path(repo).exists() else 0


def test_long_line_of_a_growing_file_is_one_read(tmp_path: Path) -> None:
    """Whoever follows it need not come again for each part; a line that has only begun is none."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"x" * (5 << 20) + b"\nbegun")
    with closing(GrowingFile(path)) as growing:
        assert [len(line.text) for line in growing.read()] == [5 << 20]
        assert growing.read() == []


@pytest.mark.parametrize(
    ("data", "code"),
    [(gzip.compress(b"{}\n"), 1), ("{}\n".encode("utf-16"), 1), (None, 3)],
    ids=["compressed", "two bytes a character", "missing"],  # not the bytes: gzip's hold the time
)
def test_what_can_not_be_followed_ends_with_its_name(repo: Path, tmp_path: Path, data: bytes | None, code: int) -> None:
    """Compressed, in UTF-16, or a folder: no line would ever come."""
    path = tmp_path / "t.jsonl"
    path.mkdir() if data is None else path.write_bytes(data)
    result = muse("ingest", "s", path, *PRESET, "--follow", "--repo", repo)
    assert (result.exit_code, str(path) in result.stderr) == (code, True)


@pytest.mark.process
def test_two_at_once_of_which_one_is_killed_double_and_lose_nothing(repo: Path, tmp_path: Path) -> None:
    """One file under two names, while it grows and others record; then it is ingested once more."""
    path, other = tmp_path / "t.jsonl", tmp_path / "link"
    path.write_bytes(b"")
    other.symlink_to(path)
    data, ours = b"".join(LINES), []

    def distinct() -> int:
        # What two append at the same moment may be in the file twice, and is one operation.
        return len({each["op_id"] for each in logged(repo)})

    with following(repo, path) as killed, following(repo, other), OpLog(repo, "s") as log, open(path, "ab", 0) as out:
        for at in range(0, len(data), 200):
            out.write(data[at : at + 200])
            ours.append(log.record("ada", "code", {"op": "x"})["op_id"])
            if at > len(data) // 2 and killed.poll() is None:
                until(lambda: distinct() > len(ours) + 1)
                killed.kill()
                killed.wait()
        until(lambda: distinct() == ALL + len(ours))
        assert len(log) == ALL + len(ours)
    again = muse("ingest", "s", other, *PRESET, "--json", "--repo", repo)
    assert json_lines(again.stdout)[-1]["already_there"] == ALL
    assert {each["op_id"] for each in logged(repo) if each["actor_id"] == "ada"} == set(ours)
    assert distinct() == ALL + len(ours)


@pytest.mark.process
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_follow_keeps_up_until_it_is_ended(repo: Path, tmp_path: Path, how: signal.Signals, code: int) -> None:
    """A file that is not there yet, a line in pieces; at the end the summary, and an exit code as `tail -f` has."""
    path = tmp_path / "t.jsonl"
    with following(repo, path) as process:
        with open(path, "ab", buffering=0) as out:
            out.write(LINES[1])
            until(lambda: count(repo) == 1)
            out.write(LINES[2][:30])
            time.sleep(0.5)
            assert count(repo) == 1
            out.write(LINES[2][30:] + b"".join(LINES[3:]))
            until(lambda: count(repo) == ALL)
        process.send_signal(how)
        out_text, err = process.communicate(timeout=children.DEADLINE_S)

    assert process.returncode == code
    # A batch that was interrupted may be in the log and not be counted.
    told = json_lines(out_text)[-1]
    assert (told["unmapped"], told["lines"]) == (0, len(LINES) - 1)
    assert b"Traceback" not in err
    again = muse("ingest", "s", path, *PRESET, "--json", "--repo", repo)
    assert json_lines(again.stdout)[-1]["already_there"] == ALL == count(repo)


@pytest.mark.process
def test_follow_goes_on_in_the_file_that_takes_its_place(repo: Path, tmp_path: Path) -> None:
    """Renamed, what was still written to the old one is read first; cut short, it is read from its beginning."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join(LINES[:4]))
    with following(repo, path):
        until(lambda: count(repo) == 4)
        with open(path, "ab") as old:
            os.rename(path, tmp_path / "t.1")
            old.write(b"".join(LINES[4:8]))
        path.write_bytes(b"".join(LINES[8:10]))
        until(lambda: count(repo) == 9)
        with open(path, "r+b") as same:
            same.truncate(0)
            time.sleep(0.5)
            same.write(b"".join(LINES[10:]))
        until(lambda: count(repo) == ALL)
