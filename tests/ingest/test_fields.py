"""Lines whose fields one names, and the keys of lines that have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, OpLog, op_id_of
from muse.ingest.draft import UnmappedError
from muse.ingest.fields import Fields
from muse.ingest.ingestion import Ingestion
from tests.cli.running import json_lines, logged, muse
from tests.ingest.transcripts import write
from tests.making import fresh_repo
from tests.samples import examples

EVENT = {
    "id": 7,
    "user": {"name": "ada", "full name": "Ada L."},
    "event": "sold",
    "items": [{"sku": "tea", "count": 2}],
    "at": "2026-03-05T14:00:00Z",
    "after": [5, 6],
}
NAMED = ("--actor", ".user.name", "--domain", "shop", "--time", ".at", "--id", ".id", "--parent", ".after")


def ingest(repo: Path, path: Path, *options: str) -> list[dict[str, Any]]:
    """What the command prints as JSON."""
    return json_lines(muse("ingest", "s", path, "--json", "--repo", repo, *options).stdout)


def test_fields_are_named_by_paths_and_constants(repo: Path, tmp_path: Path) -> None:
    """Every field of the entry comes from where it was said to be; the operation is the line or a part of it."""
    path = write(tmp_path / "e.jsonl", EVENT, {**EVENT, "id": 8, "after": 7})
    ingest(repo, path, *NAMED, "--op", ".items[0]", "--kind", ".event")

    first, second = logged(repo)
    assert (first["actor_id"], first["domain"], first["created_at"]) == ("ada", "shop", EVENT["at"])
    assert first["domain_op"] == {"sku": "tea", "count": 2, "op": "sold"}
    assert first["op_id"] == op_id_of("id/7")
    assert first["parent_op_ids"] == [op_id_of("id/5"), op_id_of("id/6")]
    assert second["parent_op_ids"] == [first["op_id"]]
    assert second["lamport_ts"] == first["lamport_ts"] + 1

    ingest(repo, path, "--actor", ".user.name", "--domain", ".items.0.sku")
    assert (logged(repo)[2]["domain_op"], logged(repo)[2]["domain"]) == (EVENT, "tea")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".", EVENT),
        (".user", EVENT["user"]),
        ('.user."full name"', "Ada L."),
        ('.user["full name"]', "Ada L."),
        (".items[0].count", 2),
        (".items.0.count", 2),
    ],
)
def test_paths(path: str, value: Any) -> None:
    """As in jq."""
    (draft,) = Fields({"actor": "a", "domain": "d", "op": path}).drafts(EVENT, b"")
    assert draft.domain_op == (value if isinstance(value, dict) else {"value": value})


@pytest.mark.parametrize("path", [".a..b", ".[x]", ".a[", '."a', "..", ".a]b[", ".[" + "9" * 5000 + "]"], ids=len)
def test_path_that_is_none_is_refused_at_once(repo: Path, tmp_path: Path, path: str) -> None:
    """As wrong usage, before a file is read."""
    with pytest.raises(InvalidArgumentError, match="not a path"):
        Fields({"actor": path, "domain": "d"})
    result = muse("ingest", "s", tmp_path / "none", "--repo", repo, "--actor", path, "--domain", "d")
    assert result.exit_code == 2


@pytest.mark.parametrize("missing", [".nothing", ".user.name.x", ".items[1]", ".items.x", ".user[0]"])
def test_line_without_the_field_can_not_be_mapped(missing: str) -> None:
    """The option and the path are named."""
    with pytest.raises(UnmappedError, match="actor: the line has no"):
        Fields({"actor": missing, "domain": "d"}).drafts(EVENT, b"")
    with pytest.raises(UnmappedError, match=r"actor: \.user must be text"):
        Fields({"actor": ".user", "domain": "d"}).drafts(EVENT, b"")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-03-05T14:00:00+01:00", "2026-03-05T14:00:00+01:00"),
        (1772719200, "2026-03-05T14:00:00+00:00"),
        (1772719200.5, "2026-03-05T14:00:00.500000+00:00"),
        (1772719200500, "2026-03-05T14:00:00.500000+00:00"),
        ("1772719200500000000", "2026-03-05T14:00:00.500000+00:00"),
        ("yesterday", None),
        ("Infinity", None),
        (1e300, None),
    ],
)
def test_times(given: Any, kept: str | None) -> None:
    """ISO 8601 stays as it is; numbers are seconds, or thousandths of them again and again."""
    fields = Fields({"actor": "a", "domain": "d", "time": ".t"})
    if kept is None:
        with pytest.raises(UnmappedError, match="neither ISO 8601 nor a number"):
            fields.drafts({"t": given}, b"")
    else:
        assert fields.drafts({"t": given}, b"")[0].created_at == kept


@examples(12)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 12))
def test_lines_without_an_id_are_each_there_once(letters: list[str], first: int) -> None:
    """Equal lines of a file are different operations; the grown file adds only its new lines."""
    lines = [json.dumps({"letter": letter}).encode() for letter in letters]
    with fresh_repo() as folder, OpLog(folder, "s") as log:
        for part in (lines[:first], lines, lines):
            ingestion = Ingestion(log, lambda *told: pytest.fail(str(told)))
            file = ingestion.open("f", Fields({"actor": "a", "domain": "d"}))
            for number, line in enumerate(part):
                ingestion.take(file, number, line)
            ingestion.flush()
        assert [entry["domain_op"]["letter"] for entry in log] == letters


def test_equal_lines_of_two_files_are_two_operations(repo: Path, tmp_path: Path) -> None:
    """A file is known by its first line."""
    for name in ("a", "b"):
        path = write(tmp_path / name, {"file": name}, {"event": "begin"})
        ingest(repo, path, "--actor", "a", "--domain", "d")
    assert len(logged(repo)) == 4


def test_another_line_under_an_id_is_listed(repo: Path, tmp_path: Path) -> None:
    """The first stays; nothing is dropped without a word."""
    path = write(tmp_path / "e.jsonl", EVENT, {**EVENT, "event": "returned"}, {**EVENT, "id": 9})
    listed, told = ingest(repo, path, *NAMED)

    assert listed["line"] == 2
    assert "with other content" in listed["error"]
    assert (told["added"], told["unmapped"]) == (2, 1)
