"""The commands `export` and `import`."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, muse

ARCHIVE, DATABASE = b"\x1f\x8b", b"SQLite format 3\x00"


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        ("s.tar.gz", [], ARCHIVE),
        ("s", [], ARCHIVE),
        ("db", [], ARCHIVE),
        ("s.db", [], DATABASE),
        ("s.SQLite", [], DATABASE),
        ("s.sqlite3", [], DATABASE),
        ("s.db", ["--format", "archive"], ARCHIVE),
        ("s.tar.gz", ["--format", "sqlite"], DATABASE),
    ],
)
@pytest.mark.parametrize("option", [False, True])
def test_export_chooses_the_format_by_the_name(
    repo: Path, tmp_path: Path, name: str, options: list[str], begins: bytes, option: bool
) -> None:
    """The end of the name decides unless --format does; FILE may stand behind SESSION or -o."""
    filled(repo, making.entries(5))
    file = ["-o", tmp_path / name] if option else [tmp_path / name]
    result = muse("export", "s", *file, *options, "--repo", repo)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "5 entries" in result.stderr
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_export_of_a_database_tells_what_it_holds(repo: Path, tmp_path: Path) -> None:
    """Its counts as JSON, and a note on the lines that gave no entry."""
    filled(repo, making.entries(5))
    making.add_bytes(making.log_path(repo), b"damage\n" + making.line(making.entries(1)[0]) + b"more\n")
    result = muse("export", "s", "-o", tmp_path / "s.db", "--repo", repo, "--json")

    assert json.loads(result.stdout) == {
        "format": "sqlite",
        "file": str(tmp_path / "s.db"),
        "size_bytes": (tmp_path / "s.db").stat().st_size,
        "session_id": "s",
        "op_count": 5,
        "byte_offset": len(making.log_bytes(repo)),
        "child_ops": 0,
        "parents": 0,
        "passed_over": {"damaged-line": 2, "duplicate": 1},
        "pending": 5,
        "problem": None,
    }
    assert "damaged-line 2, duplicate 1" in result.stderr


def test_damaged_checkpoint_does_not_keep_a_database_from_being_made(repo: Path, tmp_path: Path) -> None:
    """An archive would not be whole without it; a database says that what is pending is unknown."""
    filled(repo, making.entries(2))
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"{")
    archive = muse("export", "s", tmp_path / "s.tar.gz", "--repo", repo)
    database = muse("export", "s", tmp_path / "s.db", "--repo", repo, "--json")

    assert (archive.exit_code, database.exit_code) == (1, 0)
    assert json.loads(database.stdout)["pending"] is None
    assert "checkpoint.json" in database.stderr


@pytest.mark.parametrize("name", ["s.db", "s.tar.gz"])
def test_export_replaces_a_file_only_with_force(repo: Path, tmp_path: Path, name: str) -> None:
    """Exit code 2, the file named, and the way out."""
    filled(repo, making.entries(2))
    (tmp_path / name).write_bytes(b"mine")
    refused = muse("export", "s", tmp_path / name, "--repo", repo)

    assert refused.exit_code == 2
    assert name in refused.stderr
    assert "--force" in refused.stderr
    assert (tmp_path / name).read_bytes() == b"mine"
    assert muse("export", "s", tmp_path / name, "--repo", repo, "--force").exit_code == 0
    assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "-", "--format", "sqlite"],
        ["-", "--format", "sqlite"],
        [],
        ["one.db", "-o", "two.db"],
        ["-o", "s.db", "--format", "csv"],
    ],
)
def test_export_that_makes_no_sense_is_wrong_usage(repo: Path, arguments: list[str]) -> None:
    """A database on standard output, no file, two files, a format there is not."""
    filled(repo, making.entries(2))
    before = making.tree(repo)
    result = muse("export", "s", *arguments, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "FILE" in result.stderr or "--format" in result.stderr
    assert making.tree(repo) == before


def tar_of(*names: str) -> bytes:
    """A tar as somebody makes it by hand."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    return out.getvalue()


LINES = b"".join(map(making.line, making.entries(3)))


OTHER_FILES = {
    "lines": (LINES, "muse op-log append"),
    "lines after a byte order mark": (b"\xef\xbb\xbf" + LINES, "muse op-log append"),
    "zipped lines": (gzip.compress(LINES), "muse op-log append"),
    "tar": (tar_of("s/ops.jsonl"), "tar that export did not write"),
    "zipped tar": (gzip.compress(tar_of("s/ops.jsonl", "manifest.json")), "tar that export did not write"),
    "unzipped archive": (tar_of("manifest.json"), "compress it again"),
    "database": (b"SQLite format 3\0" + bytes(84), "database for analysis"),
    "nothing": (b"", "empty"),
    "nonsense": (b"nonsense", "not a whole archive"),
    "cut archive": (gzip.compress(tar_of("manifest.json"))[:-20], "manifest.json: "),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_file_that_is_something_else_is_called_that(repo: Path, tmp_path: Path, kind: str) -> None:
    """What it is and what can be done with it, from a file and from a pipe; nothing is made."""
    data, says = OTHER_FILES[kind]
    file = tmp_path / "file"
    file.write_bytes(data)

    for result in (muse("import", file, "t", "--repo", repo), muse("import", "-", "t", "--repo", repo, stdin=data)):
        assert (result.exit_code, result.stdout) == (1, "")
        assert says in result.stderr
    assert making.tree(repo) == {}
