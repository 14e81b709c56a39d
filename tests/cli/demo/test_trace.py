"""Reading recorded traces."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import click
import pytest

from muse.cli.demo.trace import Edit, one_after_another, read_trace

LINE: dict[str, Any] = {"actor_id": "ada", "parents": [], "domain": "code", "domain_op": {"op": "x"}, "t": None}


def write(path: Path, *lines: Any) -> Path:
    """A trace file of the values given; bytes stand as they are."""
    data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_trace_may_be_zipped_or_not(tmp_path: Path, name: str) -> None:
    """It is told by the bytes, and the edits are the same."""
    path = write(tmp_path / name, LINE, {**LINE, "actor_id": "bob", "parents": [0]})

    assert read_trace(path) == [Edit("ada", (), "code", {"op": "x"}), Edit("bob", (0,), "code", {"op": "x"})]


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"3",
        b"{}",
        {**LINE, "parents": [1]},
        {**LINE, "parents": [-1]},
        {**LINE, "parents": [True]},
        {**LINE, "parents": ["0"]},
        {**LINE, "parents": None},
        {**LINE, "actor_id": ""},
        {**LINE, "domain": 3},
    ],
)
def test_bad_line_is_named(tmp_path: Path, bad: Any) -> None:
    """The message holds the file and the number of the line, and the exit code is 1."""
    with pytest.raises(click.ClickException, match=r"trace\.jsonl: line 2: ") as caught:
        read_trace(write(tmp_path / "trace.jsonl", LINE, bad))
    assert caught.value.exit_code == 1


def test_damaged_gzip_file_is_bad_data(tmp_path: Path) -> None:
    """A file cut short, and one that was overwritten."""
    path = write(tmp_path / "trace.jsonl.gz", *[LINE] * 500)
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[:40] + b"\0" * 20 + whole[60:]):
        path.write_bytes(damaged)
        with pytest.raises(click.ClickException, match="damaged gzip file") as caught:
            read_trace(path)
        assert caught.value.exit_code == 1


def test_empty_trace_is_bad_data(tmp_path: Path) -> None:
    """There is nothing to record in it."""
    with pytest.raises(click.ClickException, match="no edits"):
        read_trace(write(tmp_path / "trace.jsonl"))


def test_parents_move_along_when_traces_are_joined() -> None:
    """They go on pointing at their own trace's edits."""
    first, second = Edit("a", (), "code", {}), Edit("b", (0,), "music", {})

    joined = one_after_another([[first, second], [first, second]])

    assert [edit.parents for edit in joined] == [(), (0,), (), (2,)]
