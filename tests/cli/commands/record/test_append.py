"""The command `append`."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import op_id_of
from tests import children, making, plain_scan
from tests.cli.running import command_line, json_lines, logged, muse

PART: dict[str, Any] = {
    "actor_id": "ada",
    "domain": "code",
    "domain_op": {"op": "insert", "address": "a.py", "position": 0},
}


def lines(*values: object) -> bytes:
    """JSON Lines of the values."""
    return b"".join(making.line(value) for value in values)


def test_whole_entries_are_appended_unchanged(repo: Path) -> None:
    """A line with an op_id is an entry: every field arrives as it was, further ones too."""
    entries = [making.entry(1, note="kept"), making.entry(2, lamport_ts=77)]

    result = muse("append", "s", "--repo", repo, stdin=lines(*entries))

    assert result.exit_code == 0
    assert plain_scan.exact_list(logged(repo)) == plain_scan.exact_list(entries)


def test_rest_of_a_partial_line_is_filled_in(repo: Path) -> None:
    """Actor, domain and operation are enough: identity, time and timestamp are given. What else is there is kept."""
    links = {"parent_op_ids": [making.op_id(1)], "intent_id": "i", "reservation_id": "r"}
    named = {**PART, **links, "op_id": making.op_id(2), "created_at": "yesterday"}

    assert muse("append", "s", "--repo", repo, stdin=lines(PART, named, {**PART, "key": "job/1"})).exit_code == 0

    first, second, third = logged(repo)
    assert all(list(entry) == list(plain_scan.FIELDS) for entry in (first, second, third))
    assert uuid.UUID(first["op_id"]).version == 4
    assert (first["parent_op_ids"], first["intent_id"], first["reservation_id"]) == ([], "", "")
    assert {name: second[name] for name in named} == named
    assert third["op_id"] == op_id_of("job/1")
    assert 0 < first["lamport_ts"] < second["lamport_ts"] < third["lamport_ts"]


def test_filled_in_timestamp_is_above_the_whole_entries_before_it(repo: Path) -> None:
    """Lines of both kinds may be mixed: the clock sees each before it fills in the next."""
    muse("append", "s", "--repo", repo, stdin=lines(making.entry(1, lamport_ts=500), PART, PART))

    timestamps = [entry["lamport_ts"] for entry in logged(repo)]
    assert timestamps == sorted(set(timestamps))
    assert timestamps[0] == 500


def test_input_may_come_from_a_file(repo: Path, tmp_path: Path) -> None:
    """FILE is read instead of standard input; blank lines are passed over, and the last one needs no newline."""
    file = tmp_path / "edits.jsonl"
    file.write_bytes(b"\n  \n".join(making.line(entry) for entry in making.entries(2500)).rstrip())

    result = muse("append", "s", file, "--repo", repo, "--json")

    assert [told["lamport_ts"] for told in json_lines(result.stdout)] == list(range(1, 2501))
    assert [entry["op_id"] for entry in logged(repo)] == [making.op_id(number) for number in range(1, 2501)]


def test_entries_that_are_there_already_are_counted_apart(repo: Path) -> None:
    """Sending the same file twice adds nothing the second time."""
    data = lines(*making.entries(3))
    first, again = (muse("append", "s", "--repo", repo, stdin=data) for _ in range(2))

    assert first.exit_code == again.exit_code == 0
    assert re.search(r"^s +3 +3 +0\s*$", first.stdout, re.MULTILINE)
    assert re.search(r"^s +3 +0 +3\s*$", again.stdout, re.MULTILINE)
    assert len(logged(repo)) == 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "not JSON"),
        (b'{"actor_id": "ada", "domain": "code"}', "domain_op"),
        (lines({**PART, "parents": []}).strip(), "parents"),
        (lines({**PART, "lamport_ts": 3}).strip(), "lamport_ts"),
        (lines({**PART, "parent_op_ids": "x"}).strip(), "parent_op_ids"),
        (lines({**PART, "parent_op_ids": ["x"]}).strip(), "parent_op_ids"),
        (lines({**PART, "actor_id": ""}).strip(), "actor_id"),
        (lines({**PART, "domain_op": 3}).strip(), "domain_op"),
        (lines(making.entry(1, lamport_ts=9, actor_id="another")).strip(), "op_id"),
        (lines({**PART, "op_id": making.op_id(1)}).strip(), "op_id"),
        (lines({**PART, "op_id": "7"}).strip(), "op_id"),
        (lines({**PART, "op_id": making.op_id(7), "key": "k"}).strip(), "key"),
        (lines({**PART, "key": 7}).strip(), "key"),
        (lines({**PART, "key": ""}).strip(), "key"),
        (lines({**PART, "created_at": 7}).strip(), "created_at"),
    ],
)
def test_bad_line_stops_and_what_came_before_it_stays(repo: Path, bad: bytes, reason: str) -> None:
    """The number of the line and the reason are named, the good lines before it kept and counted."""
    data = lines(making.entry(1), making.entry(2)) + b"\n" + bad + b"\n" + lines(making.entry(3))

    result = muse("append", "s", "--repo", repo, "--json", stdin=data)

    assert result.exit_code == 1
    *_, told = json_lines(result.stdout)
    assert told["line"] == 4
    assert reason in told["error"]
    assert "line 4: " in result.stderr
    assert "2 good lines" in result.stderr
    assert [entry["op_id"] for entry in logged(repo)] == [making.op_id(1), making.op_id(2)]


def test_bad_first_line_leaves_no_session_behind(repo: Path) -> None:
    """Nothing good, nothing made."""
    result = muse("append", "s", "--repo", repo, stdin=b"{}\n")

    assert (result.exit_code, making.tree(repo)) == (1, {})
    assert "kept in" not in result.stderr


# -- lines that name their operation ---------------------------------------------------------------------------


def keyed(count: int, start: int = 0) -> list[dict[str, object]]:
    """Partial lines with keys."""
    return [{**PART, "domain_op": {"op": "x", "n": n}, "key": f"job/{n}"} for n in range(start, start + count)]


@pytest.mark.parametrize("there", [0, 1, 999, 1000, 1700, 2500])
def test_interrupted_input_with_keys_is_appended_again_without_doubling(repo: Path, there: int) -> None:
    """However far the first attempt came: each line is in the log once, in its order, and acknowledged by its entry."""
    everything = keyed(2500)
    muse("append", "s", "--repo", repo, stdin=lines(*everything[:there]))

    again = muse("append", "s", "--repo", repo, "--json", stdin=lines(*everything))

    assert again.exit_code == 0
    assert [entry["domain_op"]["n"] for entry in logged(repo)] == list(range(2500))
    told = [(each["op_id"], each["lamport_ts"]) for each in json_lines(again.stdout)]
    assert told == [(entry["op_id"], entry["lamport_ts"]) for entry in logged(repo)]
    assert f"{2500 - there:,} added, {there:,} already there" in again.stderr


def test_same_key_twice_in_one_input_is_one_operation(repo: Path) -> None:
    """Also within one batch; both lines are acknowledged by the same entry."""
    told = json_lines(muse("append", "s", "--repo", repo, "--json", stdin=lines(*keyed(2), *keyed(2))).stdout)

    assert [each["line"] for each in told] == [1, 2, 3, 4]
    assert [each["op_id"] for each in told[:2]] == [each["op_id"] for each in told[2:]]
    assert len(logged(repo)) == 2


def test_key_that_is_there_with_another_operation_is_refused(repo: Path) -> None:
    """Not even 0 and false are the same; a newer created_at is no other operation."""
    other = {**PART["domain_op"], "position": False}
    muse("append", "s", "--repo", repo, stdin=lines({**PART, "key": "k"}))
    again = muse("append", "s", "--repo", repo, stdin=lines({**PART, "key": "k", "created_at": "now"}))
    refused = muse("append", "s", "--repo", repo, stdin=lines({**PART, "key": "k", "domain_op": other}))

    assert (again.exit_code, refused.exit_code) == (0, 1)
    assert "with other content" in refused.stderr
    assert len(logged(repo)) == 1


def test_message_after_a_bad_line_says_where_to_go_on(repo: Path) -> None:
    """By its number if a line before it would be doubled, else with the whole input."""
    unnamed = muse("append", "s", "--repo", repo, stdin=lines(PART) + b"\n" + lines(*keyed(1)) + b"bad\n")
    named = muse("append", "t", "--repo", repo, stdin=lines(*keyed(2), making.entry(1)) + b"bad\n")

    assert "go on with line 4" in unnamed.stderr
    assert "append the whole input again" in named.stderr


# -- programs that talk with the command -----------------------------------------------------------------------


@pytest.mark.process
def test_each_line_is_answered_before_the_next_is_sent(repo: Path) -> None:
    """A program can name its last operation as a parent, and a refused line is answered too."""
    command = command_line("append", "s", "--repo", repo, "--json", "--keep-going")
    with children.started(command, stderr=subprocess.PIPE, cwd=repo) as process:
        assert process.stdin is not None
        parents: list[str] = []
        for number in range(1, 31):
            if number % 10 == 0:
                children.tell(process, b"no json\n")
                (told,) = json_lines(children.pipe_of(process).readline())
                assert (told["line"], set(told)) == (number, {"line", "error"})
                continue
            children.tell(process, lines({**PART, "parent_op_ids": parents}))
            (told,) = json_lines(children.pipe_of(process).readline())
            # It is in the log already.
            assert (told["op_id"], told["lamport_ts"]) == (logged(repo)[-1]["op_id"], logged(repo)[-1]["lamport_ts"])
            assert told["line"] == number
            parents = [told["op_id"]]
        process.stdin.close()
        assert process.wait(timeout=60) == 1
    chain = logged(repo)
    assert [entry["parent_op_ids"] for entry in chain] == [[], *([entry["op_id"]] for entry in chain[:-1])]


def test_refused_lines_are_put_aside_and_the_rest_is_appended(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is reported with its number; the file holds their bytes, can be appended, and is never written over.

    Where none is refused there is no file.
    """
    monkeypatch.chdir(tmp_path)
    good = lines(*keyed(1500))
    assert muse("append", "s", "--keep-going", "--repo", repo, stdin=good).exit_code == 0
    assert not list(tmp_path.glob("*refused*"))
    data = b"bad\n" + good + b'{"actor_id": "ada"}\r\n' + lines(*keyed(1, 2000)) + b"worse"

    result = muse("append", "s", "--keep-going", "--repo", repo, stdin=data)

    assert result.exit_code == 1
    assert len(logged(repo)) == 1501
    assert re.findall(r"^line (\d+): ", result.stderr, re.MULTILINE) == ["1", "1502", "1504"]
    aside = tmp_path / "s.refused.jsonl"
    assert aside.read_bytes() == b'bad\n{"actor_id": "ada"}\r\nworse\n'
    assert "3 refused lines put aside: mend and append s.refused.jsonl" in result.stderr
    again = muse("append", "s", aside, "--keep-going", "--repo", repo)
    assert again.exit_code == 1
    assert (tmp_path / "s.refused-2.jsonl").read_bytes() == aside.read_bytes()


def test_pipe_stays_open_where_refused_lines_can_not_be_put_aside(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good lines are appended all the same; each that is not kept is named, and the exit code is 3."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    data = b"bad\n" + lines(PART) + b"worse\n" + lines(PART)
    result = muse("append", "s", "--keep-going", "--repo", repo, stdin=data)

    assert result.exit_code == 3
    assert re.findall(r"^line (\d+) could not be put aside: ", result.stderr, re.MULTILINE) == ["1", "3"]
    assert "refused lines put aside" not in result.stderr
    assert len(logged(repo)) == 2


# -- how the input is read -------------------------------------------------------------------------------------

BOM = b"\xef\xbb\xbf"
PLAIN = lines(*keyed(3000))
INPUTS = {
    "byte order mark": BOM + PLAIN,
    "byte order mark of a second file": PLAIN[: len(PLAIN) // 2].rpartition(b"\n")[0] + b"\n" + BOM + PLAIN,
    "carriage returns": PLAIN.replace(b"\n", b"\r\n"),
    "gzip": gzip.compress(PLAIN),
    "gzip of a byte order mark and carriage returns": gzip.compress(BOM + PLAIN.replace(b"\n", b"\r\n")),
    "several gzip members": b"".join(gzip.compress(line) for line in PLAIN.splitlines(keepends=True)),
    "gzip filled up with zeros": gzip.compress(PLAIN) + bytes(5000),
}


@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize("from_file", [True, False], ids=["file", "pipe"])
def test_input_is_read_in_this_form(repo: Path, tmp_path: Path, form: str, *, from_file: bool) -> None:
    """What the bytes are is seen in the bytes, whatever the name of the file."""
    file = tmp_path / "input"
    file.write_bytes(INPUTS[form])

    result = muse("append", "s", *([file] if from_file else []), "--repo", repo, stdin=file.read_bytes())

    assert result.exit_code == 0
    assert [entry["domain_op"]["n"] for entry in logged(repo)] == list(range(3000))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_other_encoding_is_named_and_refused(repo: Path, encoding: str, *, zipped: bool) -> None:
    """As PowerShell writes it, with or without a mark; nothing is made."""
    text = ("\ufeff" if encoding == "utf-32-be" else "") + PLAIN.decode()
    data = text.encode(encoding)

    result = muse("append", "s", "--keep-going", "--repo", repo, stdin=gzip.compress(data) if zipped else data)

    assert result.exit_code == 1
    assert encoding[:6].upper() in result.stderr
    assert making.tree(repo) == {}


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_gzip_is_said_and_the_lines_before_stay(repo: Path, damage: str) -> None:
    """The rest is missing or can't be read; how far it came is said."""
    data = bytearray(gzip.compress(PLAIN))
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0xFF

    result = muse("append", "s", "--repo", repo, stdin=bytes(data))

    assert result.exit_code == 1
    assert "gzip data" in result.stderr
    there = [entry["domain_op"]["n"] for entry in logged(repo)]
    assert there == list(range(len(there)))
    assert f"the first line not acknowledged is line {len(there) + 1}:" in result.stderr


@pytest.mark.process
def test_long_line_in_small_pieces_takes_time_in_proportion(repo: Path) -> None:
    """64 MB in pieces of 512 bytes: if each copied what came before it, that would be terabytes, and a hang."""
    script = (
        "from muse.cli.input.lines import read_lines\n"
        "class Input:\n"
        "    pieces = 1 << 17\n"
        "    def read1(self, size):\n"
        "        self.pieces -= 1\n"
        "        return b'x' * 512 if self.pieces >= 0 else b''\n"
        "((line,),) = read_lines(Input())\n"
        "assert len(line.text) == 1 << 26 and not line.is_too_long\n"
    )
    assert children.run([sys.executable, "-c", script]).returncode == 0


def test_line_that_is_too_long_is_refused_and_put_aside_whole(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never held in memory as a whole, counts as one line, and the next one is appended."""
    from muse.cli.commands.record import append
    from muse.cli.input import lines as input_lines

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(input_lines, "LONGEST_LINE_BYTES", 1 << 16)
    monkeypatch.setattr(append, "LONGEST_LINE_BYTES", 1 << 16)
    monkeypatch.setattr(input_lines, "_READ_BYTES", 1000)
    long = b'{"x": "' + b"y" * 300_000 + b'"}\n'

    result = muse("append", "s", "--keep-going", "--repo", repo, stdin=lines(PART) + long + lines(PART))

    assert result.exit_code == 1
    assert re.findall(r"^line (\d+): longer", result.stderr, re.MULTILINE) == ["2"]
    assert (tmp_path / "s.refused.jsonl").read_bytes() == long
    assert len(logged(repo)) == 2
