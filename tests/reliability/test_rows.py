"""Every row of the failure table has its tests, and the documents name them."""

from __future__ import annotations

import pytest

from tests import making
from tests.reliability import rows

PAGE = making.PROJECT / "docs" / "reliability.md"


def test_every_row_has_a_test() -> None:
    """At least one test names the row in its docstring."""
    tests = rows.tests_of_row()
    assert [f"row {row} ({what})" for row, what in rows.ROWS.items() if not tests[row]] == []


def test_tests_name_only_rows_that_there_are() -> None:
    """A docstring with a row beyond the table is a mistake, and so is one that names none where its name says so."""
    for test in rows.tests():
        assert set(test.rows) <= set(rows.ROWS), test.node_id


def test_tests_that_the_table_names_are_collected(request: pytest.FixtureRequest) -> None:
    """What the table shows is what pytest runs: the tests of this run's modules are those read off their files."""
    collected = {item.nodeid.partition("[")[0] for item in request.session.items}
    modules = {node_id.partition("::")[0] for node_id in collected}
    if (
        request.config.getoption("keyword")
        or request.config.getoption("markexpr")
        or any("::" in a for a in request.config.args)
    ):
        pytest.skip("only a part of the tests was asked for")
    for test in rows.tests():
        if f"tests/{test.module}" in modules:
            assert test.node_id in collected


def test_document_shows_the_tests_of_each_row() -> None:
    """docs/reliability.md has a line for each row, with all of its tests: `python -m tests.reliability.rows`."""
    text = PAGE.read_text(encoding="utf-8")
    assert rows.HEADING in text
    for row, tests in rows.tests_of_row().items():
        (line,) = [each for each in text.splitlines() if each.startswith(f"| {row} |")]
        assert [test.node_id for test in tests if test.name not in line] == []
