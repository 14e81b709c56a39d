"""The inner pages of SQLite's b-trees, found without SQLite (sqlite.org/fileformat2.html, section 1.6).

A bit in one of them can hide rows from SQLite, or show other rows in their place, without an error: no checksum of a
row can notice that.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.reliability.material import quick_folder

_INNER = {2, 5}
_HEADER_BYTES = 12
_CELL_BYTES = 12


class InnerPage(NamedTuple):
    """One inner page of a database."""

    table: str
    """The table or index that it belongs to."""
    start: int
    """Byte offset in the file at which its header begins."""
    child_places: tuple[int, ...]
    """Byte offsets in the file of the page numbers, 4 bytes each, of its children."""
    places: tuple[int, ...]
    """Byte offsets in the file of the bytes that SQLite is led by: header, cell pointers, how each cell begins."""


def inner_pages(data: bytes) -> list[InnerPage]:
    """The inner pages of the tables and indexes of a database."""
    roots = {"sqlite_schema": 1}
    with quick_folder() as name:
        path = Path(name) / "index.db"
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as connection:
            roots |= dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))
    return [page for table, root in roots.items() for page in _below(data, table, root)]


def _below(data: bytes, table: str, number: int) -> list[InnerPage]:
    page_bytes = int.from_bytes(data[16:18], "big")
    begin = (number - 1) * page_bytes
    # The first page begins with the header of the file.
    start = begin + (100 if number == 1 else 0)
    if data[start] not in _INNER:
        return []
    cells = int.from_bytes(data[start + 3 : start + 5], "big")
    pointers = range(start + _HEADER_BYTES, start + _HEADER_BYTES + 2 * cells, 2)
    starts = [begin + int.from_bytes(data[at : at + 2], "big") for at in pointers]
    children = (*starts, start + 8)
    # A cell of a table is a page number and a key; one of an index goes on with the row, which has a checksum.
    cell_bytes = [at for cell in starts for at in range(cell, min(cell + _CELL_BYTES, begin + page_bytes))]
    places = tuple(dict.fromkeys((*range(start, pointers.stop), *cell_bytes)))
    found = [InnerPage(table, start, children, places)]
    for at in children:
        found += _below(data, table, int.from_bytes(data[at : at + 4], "big"))
    return found
