"""A sample of the byte sweeps; `nox -s sweeps` tries every case."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import muse.core.maintenance.verify
from tests.reliability import index_sweeps, sweeps
from tests.reliability.inner_pages import inner_pages
from tests.reliability.material import quick_folder
from tests.reliability.sweeps import SWEEPS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the sweeps set for themselves, undone afterwards."""
    level = logging.getLogger("muse").level
    monkeypatch.setattr(muse.core.maintenance.verify, "_TAIL_WAIT_SECONDS", 0.0)
    sweeps.quiet()
    yield
    logging.getLogger("muse").setLevel(level)


def assert_all_right(name: str) -> None:
    """Try the sample of a sweep."""
    outcomes, wrong = sweeps.try_cases(name, sweeps.sample(name))
    assert wrong == []
    assert outcomes.total() == len(sweeps.sample(name)) > 0


def test_log_cut_at_every_byte_of_its_last_20_lines() -> None:
    """Row 1: whole entries are returned, the fragment is reported, the next append is on a line of its own."""
    assert_all_right("log-truncations")


@pytest.mark.parametrize("name", ["log-bits", "log-bits-by-digest"])
def test_every_bit_of_20_lines_flipped(name: str) -> None:
    """Row 3: verify names the line, by the index's checksum or the checkpoint's digest; all others are read."""
    assert_all_right(name)


@pytest.mark.parametrize("name", ["checkpoint-truncations", "checkpoint-bits"])
def test_record_cut_and_flipped_everywhere(name: str) -> None:
    """Row 17: it is refused by name, or means exactly what it meant."""
    assert_all_right(name)


@pytest.mark.parametrize("name", ["index-bits", "index-pages", "index-truncations", "index-inner-pages", "index-rows"])
def test_index_flipped_overwritten_cut_and_its_rows_replaced_everywhere(name: str) -> None:
    """Rows 18 and 20: every answer to every question is the plain scan's, whichever is asked first."""
    assert_all_right(name)


@pytest.mark.process
@pytest.mark.usefixtures("strace")
def test_killed_on_entering_each_system_call() -> None:
    """Rows 10 and 19: acknowledged ⊆ recovered, each once; no checkpoint that was granted is gone."""
    assert_all_right("crash-points")


def test_swept_index_has_everything() -> None:
    """Each table has rows, each large one an inner page, and there are runs of three sizes."""
    material = index_sweeps.material()
    with quick_folder() as name, closing(sqlite3.connect(material.put(Path(name)).with_name("index.db"))) as connection:
        for table in ("segment", "origin", "run", "run_page", "tail", "seen_checkpoint", "held_entry"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,), table
        lengths = connection.execute("SELECT length(directory) / 12 FROM run ORDER BY first_segment").fetchall()
        problems = connection.execute("SELECT problem FROM tail WHERE problem IS NOT NULL").fetchall()
        unresolved = connection.execute("SELECT sum(unresolved_links) FROM segment").fetchone()
    assert [length for (length,) in lengths][:3] == [16, 4, 1]
    assert "duplicate" in str(problems)
    assert unresolved > (0,)
    assert {page.table for page in inner_pages(material.index)} >= {"segment", "run", "run_page", "tail"}


def test_sweeps_are_repeatable() -> None:
    """Two sweeps of one name have the same cases, so that a number names a case."""
    for name in ("log-bits", "index-pages", "checkpoint-bits"):
        assert len(SWEEPS[name]()) == len(sweeps.sweep_named(name))
