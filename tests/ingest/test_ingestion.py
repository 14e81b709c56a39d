"""A file that is ingested again: what is new is added, what differs is listed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import OpEntry, OpLog, RefusedByGuardError
from muse.ingest.fields import Fields
from muse.ingest.ingestion import Ingestion
from tests.making import fresh_repo
from tests.samples import examples

VALUES = st.sampled_from([1, 1.0, True, "1", 10**30, None])
"""Some are equal in Python and differ in JSON; one fits no line of a log."""
LINES = st.lists(st.tuples(st.integers(0, 5), VALUES), max_size=12)


def ingest(log: OpLog, lines: Iterable[tuple[int, Any]], *, size: int = 3) -> Ingestion:
    """Ingest lines with an id and a value, in batches of this size."""
    ingestion = Ingestion(log, lambda *_told: None)
    file = ingestion.open("f", Fields({"actor": "a", "domain": "d", "id": ".id"}))
    for number, (name, value) in enumerate(lines, start=1):
        ingestion.take(file, number, json.dumps({"id": name, "value": value}).encode())
        if number % size == 0:
            ingestion.flush()
    ingestion.flush()
    return ingestion


@examples(40)
@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 4))
def test_first_line_of_an_id_counts_and_another_one_is_listed(files: list[list[tuple[int, Any]]], size: int) -> None:
    """Whatever was ingested before and however the batches fall; values are compared as JSON."""
    kept: dict[int, str] = {}
    with fresh_repo() as folder, OpLog(folder, "s") as log:
        # Each file twice: the second time it is most likely all there.
        for lines in [each for each in files for _ in range(2)]:
            added = there = listed = 0
            for name, value in lines:
                text = json.dumps(value)
                if value == 10**30 or kept.get(name, text) != text:
                    listed += 1
                elif name in kept:
                    there += 1
                else:
                    kept[name], added = text, added + 1
            found = ingest(log, lines, size=size)
            assert (found.added, found.already_there, found.unmapped) == (added, there, listed)
        assert {op["id"]: json.dumps(op["value"]) for op in (entry["domain_op"] for entry in log)} == kept


def test_guard_is_asked_about_what_is_there_too() -> None:
    """Whoever ingests a file with a guard wants to know of each line that it refuses."""

    def guard(entry: OpEntry) -> OpEntry:
        if entry["domain_op"]["value"] == 7:
            raise RefusedByGuardError("no sevens")
        return entry

    lines = [(number, number) for number in range(12)]
    with fresh_repo() as folder:
        with OpLog(folder, "s") as log:
            ingest(log, lines)
        with OpLog(folder, "s", guard=guard) as log:
            again = ingest(log, lines)
            assert (again.added, again.already_there, again.unmapped) == (0, 11, 1)


def test_redacted_operation_is_there_and_stays_redacted() -> None:
    """Its line says what it said before; the marker stands for it."""
    lines = [(number, number) for number in range(12)]
    with fresh_repo() as folder, OpLog(folder, "s") as log:
        ingest(log, lines)
        chosen = log.read_all()[7]["op_id"]
        log.redact(chosen, by="ada", why="secret")
        again = ingest(log, lines)
        assert (again.added, again.already_there, again.unmapped) == (0, 12, 0)
        assert log.get(chosen)["domain_op"]["op"] == "redacted"  # type: ignore[index]
