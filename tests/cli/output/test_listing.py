"""Entries as lists: which fields, in which order, as a table, as JSON lines, as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests import making
from tests.cli.running import ESCAPE, filled, json_lines, muse, muse_process

NASTY = ["a,b", 'say "x"', "two\nlines", "back\rhere", "\x00", " = ", "=1+1", "zo\u00eb \U0001d11e", ESCAPE, ""]


@pytest.fixture
def nasty(repo: Path) -> list[Any]:
    """A session whose texts hold everything that CSV has to quote."""
    return filled(
        repo,
        [
            making.entry(number, actor_id=f"a{text}", domain_op={"op": text, "n": [number, {"x": None}], "ok": True})
            for number, text in enumerate(NASTY, start=1)
        ],
    )


@pytest.mark.process
def test_csv_gives_back_every_text(repo: Path, nasty: list[Any]) -> None:
    """A CSV reader finds the nine fields in the format's order, texts verbatim, all else as JSON."""
    done = muse_process("query", "s", "--repo", repo, "--format", "csv")
    heading, *rows = csv.reader(io.StringIO(done.stdout.decode(), newline=""))

    assert heading == list(nasty[0])
    assert len(rows) == len(nasty)
    for row, entry in zip(rows, nasty, strict=True):
        assert row[heading.index("actor_id")] == entry["actor_id"]
        assert row[heading.index("lamport_ts")] == str(entry["lamport_ts"])
        assert json_lines(row[heading.index("domain_op")]) == [entry["domain_op"]]
        assert row[heading.index("parent_op_ids")] == "[]"


def test_fields_are_given_in_the_order_asked_for(repo: Path, nasty: list[Any]) -> None:
    """In each format; what an entry does not have is null in JSON and empty elsewhere."""
    asked = ("--fields", "domain_op.op, actor_id,domain_op.n.0,domain_op.n.9")
    expected = [
        {
            "domain_op.op": entry["domain_op"]["op"],
            "actor_id": entry["actor_id"],
            "domain_op.n.0": entry["domain_op"]["n"][0],
            "domain_op.n.9": None,
        }
        for entry in nasty
    ]

    as_json = json_lines(muse("query", "s", "--repo", repo, "--json", *asked).stdout)
    assert as_json == expected
    assert [list(value) for value in as_json] == [list(value) for value in expected]

    as_csv = muse("query", "s", "--repo", repo, "--format", "csv", *asked).stdout_bytes.decode()
    assert list(csv.reader(io.StringIO(as_csv, newline="")))[1:] == [
        [value["domain_op.op"], value["actor_id"], str(value["domain_op.n.0"]), ""] for value in expected
    ]

    table = muse("query", "s", "--repo", repo, *asked).stdout.splitlines()
    assert table[0].split() == ["domain_op.op", "actor_id", "domain_op.n.0", "domain_op.n.9"]
    assert table[1].split() == ["a,b", "aa,b", "1"]


def test_field_that_no_entry_has_is_told(repo: Path, nasty: list[Any]) -> None:
    """A misspelt name gives an empty column, which is said on standard error; a right one is not mentioned."""
    result = muse("query", "s", "--repo", repo, "--fields", "actor,op_id")

    assert "'actor'" in result.stderr
    assert "'op_id'" not in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--json", "--format", "csv"), "contradict each other"),
        (("--format", "xml"), "xml"),
        (("--fields", "a,,b"), "a field name is empty"),
        (("--fields", " "), "no field is named"),
        (("--fields", "a,a"), "given twice"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(repo: Path, options: tuple[str, ...], said: str) -> None:
    """Exit code 2, nothing is printed, and what is wrong is said."""
    filled(repo, making.entries(1))
    result = muse("query", "s", "--repo", repo, *options)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_json_is_shorthand_for_format_json(repo: Path, nasty: list[Any]) -> None:
    """The same bytes; both together are fine."""
    plain = muse("query", "s", "--repo", repo, "--json").stdout_bytes

    assert muse("query", "s", "--repo", repo, "--format", "json").stdout_bytes == plain
    assert muse("query", "s", "--repo", repo, "--format", "json", "--json").stdout_bytes == plain


def test_empty_csv_has_its_heading(repo: Path, nasty: list[Any]) -> None:
    """A program that reads it finds the columns; a table and JSON are empty."""
    nobody = ("query", "s", "--repo", repo, "--actor", "nobody")

    assert muse(*nobody, "--format", "csv", "--fields", "op_id,domain").stdout_bytes == b"op_id,domain\r\n"
    assert muse(*nobody).stdout == ""
    assert muse(*nobody, "--json").stdout == ""
