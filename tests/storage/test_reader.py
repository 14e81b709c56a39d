"""From places to lines: each is held against its checksum, however it was fetched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from zlib import crc32

import pytest

from muse.core.storage.lines import Location, Places
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError, read_entries, read_lines, read_placed_entries

LINES = [b'{"n":%d,"text":"%s"}\n' % (number, b"x" * (number % 3 * 9000)) for number in range(60)]
OFFSETS = [*accumulate(map(len, LINES), initial=0)]
CHOICES = [[], [7], range(60), range(20, 31), range(0, 60, 7), [0, 1, 2, 30, 31, 59], range(1, 60, 3)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    """A log of these lines; some are further apart than what is read at once."""
    log = LogFile(tmp_path / "ops.jsonl", durable_names=False)
    log.append(b"".join(LINES))
    yield log
    log.close()


def places_of(numbers: list[int] | range) -> Places:
    """Where some of the lines lie: as one stretch if they follow each other."""
    starts, ends = [OFFSETS[each] for each in numbers], [OFFSETS[each + 1] for each in numbers]
    if starts[1:] == ends[:-1]:
        starts, ends = starts[:1], ends[-1:]
    return Places(starts, ends, [crc32(LINES[each]) for each in numbers])


@pytest.mark.parametrize("numbers", CHOICES, ids=str)
def test_lines_come_as_they_are(log: LogFile, numbers: list[int] | range) -> None:
    """Lines that follow each other, lie close together or far apart, given in columns or one by one."""
    places = places_of(numbers)
    one_by_one = [Location(OFFSETS[each], len(LINES[each]), crc32(LINES[each]), 0) for each in numbers]
    assert read_lines(log, places) == read_lines(log, one_by_one) == [LINES[each] for each in numbers]
    assert [entry["n"] for entry in map(dict, read_entries(log, places))] == list(numbers)
    assert [(at, end) for at, end, _ in read_placed_entries(log, places)] == [
        (OFFSETS[each], OFFSETS[each + 1]) for each in numbers
    ]


@pytest.mark.parametrize("numbers", CHOICES[1:], ids=str)
@pytest.mark.parametrize("new", [b"#", b"\n"], ids=["altered", "split"])
def test_a_line_that_is_altered_is_noticed(log: LogFile, numbers: list[int] | range, new: bytes) -> None:
    """Whichever of those asked for it is; if it is another one, nobody asks."""
    for number in (0, 1, 7, 30, 59):
        with log.path.open("r+b") as file:
            file.seek(OFFSETS[number] + 3)
            old = file.read(1)
            file.seek(OFFSETS[number] + 3)
            file.write(new)
            file.flush()
            if number in numbers:
                with pytest.raises(StaleLocationError, match="run verify"):
                    read_lines(log, places_of(numbers))
            else:
                assert len(read_lines(log, places_of(numbers))) == len(numbers)
            file.seek(OFFSETS[number] + 3)
            file.write(old)


def test_two_lines_in_each_others_place_are_noticed(log: LogFile) -> None:
    """Although all that was asked for is still there: each line is held against its own checksum."""
    one, other = 12, 15
    assert len(LINES[one]) == len(LINES[other])
    with log.path.open("r+b") as file:
        for number, line in ((one, LINES[other]), (other, LINES[one])):
            file.seek(OFFSETS[number])
            file.write(line)
    for numbers in (range(10, 20), [one, other], [other]):
        with pytest.raises(StaleLocationError, match="run verify"):
            read_lines(log, places_of(numbers))


def test_lines_that_are_gone_are_noticed(log: LogFile) -> None:
    """If the log ends before they do, or in them."""
    for end in (0, OFFSETS[30], OFFSETS[30] + 5, OFFSETS[60] - 1):
        with log.path.open("r+b") as file:
            file.truncate(end)
        with pytest.raises(StaleLocationError):
            read_lines(log, places_of(range(60)))
        with pytest.raises(StaleLocationError):
            read_lines(log, places_of([0, 31, 59]))
        log.append(b"".join(LINES)[end:])
