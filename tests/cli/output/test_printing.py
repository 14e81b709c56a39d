"""What reaches a terminal, a pipe and a program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from muse.cli.output import printing as output
from muse.cli.output.printing import pluralize, tally
from muse.escaping import escape_for_terminal, escape_json_for_terminal
from tests import children, making
from tests.cli.running import (
    ESCAPE,
    command_line,
    filled,
    muse,
    muse_process,
    on_a_terminal,
)

RAW = [character for character in ESCAPE if not character.isprintable()]


@pytest.fixture
def hostile(repo: Path) -> Path:
    """A repository in which every name and text holds escape sequences and markup."""
    op = {"op": "insert" + ESCAPE, "address": "[bold]a[/bold]" + ESCAPE, "content_summary": ESCAPE}
    filled(repo, [making.entry(1, actor_id="[red]eve" + ESCAPE, domain="music" + ESCAPE, domain_op=op)])
    assert muse("checkpoint", "s", "c" + ESCAPE, "--repo", repo).exit_code == 0
    filled(repo, [making.entry(2, actor_id="[red]eve" + ESCAPE, domain="music" + ESCAPE, domain_op=op)])
    return repo


def test_markup_in_data_is_text(hostile: Path) -> None:
    """Brackets are shown as they are, not taken for colours."""
    assert "[red]eve" in muse("query", "s", "--repo", hostile).stdout
    assert "[red]eve" in muse("sessions", "--repo", hostile).stdout


@pytest.mark.process
@pytest.mark.parametrize("command", [("query", "s", "--json"), ("sessions", "--json"), ("query", "s")])
def test_terminal_gets_no_control_character_of_the_data(hostile: Path, command: tuple[str, ...]) -> None:
    """Not in JSON either, which has an escape for each, and stays equal in value."""
    sent = on_a_terminal(command_line(*command, "--repo", hostile), NO_COLOR="1")

    for character in RAW:
        assert character not in sent
    if command[0] == "query" and "--json" in command:
        first = json.loads(sent.splitlines()[0])
        assert first["actor_id"] == "[red]eve" + ESCAPE


@pytest.mark.process
def test_terminal_gets_colour_unless_it_is_not_wanted(repo: Path) -> None:
    """NO_COLOR is respected; a pipe gets none, not even where another program's setting would force it."""
    filled(repo, making.entries(3))
    piped = muse_process("sessions", "--repo", repo, env={**os.environ, "FORCE_COLOR": "1"})

    assert "\x1b[1m" in on_a_terminal(command_line("sessions", "--repo", repo))
    assert "\x1b" not in on_a_terminal(command_line("sessions", "--repo", repo), NO_COLOR="1")
    assert b"\x1b" not in piped.stdout + piped.stderr


@pytest.mark.process
def test_row_is_whole_in_a_pipe_and_ends_at_the_margin_of_a_terminal(repo: Path) -> None:
    """A pipe has no width; a terminal has."""
    filled(repo, [making.entry(1, domain_op={"op": "x", "address": "a" * 200})])

    assert "a" * 200 in muse("query", "s", "--repo", repo).stdout
    row = on_a_terminal(command_line("query", "s", "--repo", repo)).splitlines()[1]
    assert 90 < len(row) <= 100
    assert row.endswith("a…")


@pytest.mark.process
def test_reader_may_leave_early(repo: Path) -> None:
    """`muse … | head -n 1` ends quietly, with exit code 0."""
    filled(repo, making.entries(3000))
    command = command_line("query", "s", "--repo", repo, "--json")
    with children.started(command, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        code = process.wait(timeout=60)

    assert json.loads(first)["op_id"] == making.op_id(1)
    assert b"Broken" not in said
    assert b"Traceback" not in said
    assert code == 0


@pytest.mark.process
def test_narrow_encoding_is_no_failure(repo: Path) -> None:
    """A letter that the terminal's encoding lacks is shown as an escape."""
    filled(repo, [making.entry(1, actor_id="zoë \N{MUSICAL SYMBOL G CLEF}")])
    narrow = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}

    done = muse_process("query", "s", "--repo", repo, env=narrow)

    assert done.returncode == 0
    assert b"zo\xeb \\U0001d11e" in done.stdout


def test_every_control_character_is_shown_as_its_code() -> None:
    """C0, DEL, C1, direction, invisible, line separators, lone surrogates; letters stay."""
    codes = [*range(0x20), *range(0x7F, 0xA0), 0x200B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xD800]

    for code in codes:
        assert escape_for_terminal(chr(code)).isascii()
        assert escape_for_terminal(chr(code)).isprintable()
    assert escape_for_terminal("a\nb", keep="\n") == "a\nb"
    assert escape_for_terminal("naïve 音 \U0001d11e [x]") == "naïve 音 \U0001d11e [x]"


def test_json_for_a_terminal_is_equal_in_value() -> None:
    """Only the spelling changes."""
    text = json.dumps("".join(map(chr, range(0x20, 0x2100))), ensure_ascii=False)

    assert json.loads(escape_json_for_terminal(text)) == json.loads(text)
    assert not set(map(chr, range(0x7F, 0xA0))) & set(escape_json_for_terminal(text))


def test_names_that_are_no_utf8_are_json_that_strict_readers_take(repo: Path, tmp_path: Path) -> None:
    """A folder, a file and an argument: their bytes are shown as escapes, as on standard error."""
    odd, shown = os.fsdecode(b"odd\xff"), "odd\\udcff"
    folder = tmp_path / odd
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    filled(folder, making.entries(1))
    (tmp_path / "lines").write_text('{"id": 1}')

    def told(*command: object) -> Any:
        return orjson.loads(muse(*command, "--json", "--repo", folder).stdout.splitlines()[0])

    assert told("verify", "s")["log_path"] == f"{tmp_path}/{shown}/.muse/op_log/s/ops.jsonl"
    assert told("report", "s", "-o", folder / odd, "--format", "svg")["file"] == f"{tmp_path}/{shown}/{shown}"
    assert shown in told("ingest", "t", tmp_path / "lines", "--actor", f".{odd}", "--domain", "d")["error"]
    assert told("query", "s", "--fields", odd) == {shown: None}
    assert muse("query", "s", "--fields", odd, "--format", "csv", "--repo", folder).stdout.splitlines()[0] == shown


def test_value_that_is_no_utf8_is_wrong_usage(repo: Path) -> None:
    """No log holds it, so it can only be a slip."""
    filled(repo, making.entries(1))
    for command in (
        ("blame", "s", "\udcff"),
        ("conflicts", "s", "--address", "\udcff"),
        ("count", "s", "--where", "a=\udcff"),
    ):
        done = muse(*command, "--repo", repo)
        assert (done.exit_code, done.stderr) == (2, "Error: \\udcff: must be text in UTF-8\n")


def test_counts_are_said_with_their_noun() -> None:
    """One entry, two entries, a thousand with a comma."""
    assert [pluralize(number, "entry") for number in (0, 1, 1200)] == ["0 entries", "1 entry", "1,200 entries"]
    assert pluralize(2, "process", "processes") == "2 processes"


def test_tally_names_the_largest_and_counts_the_rest() -> None:
    """A session of many actors still fits a line."""
    assert tally({"a": 1, "b": 20}) == "b 20, a 1"
    assert tally({name: number for number, name in enumerate("abcdefg")}) == "g 6, f 5, e 4, d 3, and 3 more"


def test_a_large_table_is_laid_out_as_a_small_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading and a line for each row, numbers to the right, the same cells in the same places."""
    rows = [(f"session-{number}", number * 997) for number in range(300)]

    output.print_table(("SESSION", "OPS"), rows, right=("OPS",))

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["SESSION", "OPS"]
    assert [line.split() for line in lines] == [[name, f"{number:,}"] for name, number in rows]
    assert {len(line) for line in (heading, *lines)} == {len("session-299") + 2 + len("298,103")}
