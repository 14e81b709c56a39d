"""Moments on the command line: --since and --upto, and the command `diff`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import children, making, plain_scan
from tests.cli.running import filled, json_lines, muse

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
DIGITS = "12345678-1234-4234-8234-123456789012"


@pytest.fixture
def entries(repo: Path) -> list[Any]:
    """A session "s" of 60 entries, one a minute; the op_id of the fifth is of digits, six are committed as "c1"."""
    made: list[Any] = list(making.entries(60))
    for number, entry in enumerate(made):
        entry["created_at"] = (NOON + timedelta(minutes=number)).isoformat()
    made[4]["op_id"] = DIGITS
    filled(repo, made[:6])
    muse("checkpoint", "s", "c1", "--repo", repo)
    return made[:6] + filled(repo, made[6:])


MOMENTS = {
    "start": 0,
    "now": 60,
    "checkpoint": 6,
    "c1": 6,
    making.op_id(9): 9,
    making.op_id(9)[:9].upper(): 9,
    DIGITS[:8]: 5,
    "17": 17,
    "lamport:17": 17,
    "99999999": 60,
    "2026-05-03T12:10": 11,
    "2026-05-03T14:10:30+02:00": 11,
    "2026-05-04": 60,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_is_what_people_call_it(repo: Path, entries: list[Any], moment: str) -> None:
    """An op_id or its beginning, a time, a timestamp, the checkpoint: each side of it is the slice of the list."""
    number = MOMENTS[moment]
    since, upto = (muse("query", "s", "--repo", repo, "--json", side, moment) for side in ("--since", "--upto"))
    assert plain_scan.exact_list(json_lines(since.stdout)) == plain_scan.exact_list(entries[number:])
    assert plain_scan.exact_list(json_lines(upto.stdout)) == plain_scan.exact_list(entries[:number])
    assert muse("count", "s", "--repo", repo, "--upto", moment, "--actor", "ada").stdout.strip() == str(
        len(plain_scan.select(entries[:number], actor_id="ada"))
    )


@pytest.mark.parametrize("moment", ["2026-05-03T25:00", "9b", "no such", "12345678-1234-4234-8234-000000000000"])
def test_what_is_no_moment_is_wrong_usage(repo: Path, entries: list[Any], moment: str) -> None:
    """Exit code 2 and a message, never all entries or none."""
    result = muse("query", "s", "--repo", repo, "--since", moment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a moment" in result.stderr or moment.startswith("2026")


def test_moments_that_need_no_checkpoint_are_found_beside_a_damaged_one(repo: Path, entries: list[Any]) -> None:
    """An op_id, a time, a timestamp that says it is one; what may be a snapshot's id is told of."""
    making.log_path(repo).with_name("checkpoint.json").write_text("{")
    moments = [making.op_id(9), "lamport:9", f"lamport:{9:030}", "2026-05-03T12:08"]
    assert [muse("count", "s", "--repo", repo, "--upto", each).stdout for each in moments] == ["9\n"] * 4
    assert [muse("count", "s", "--repo", repo, "--upto", each).exit_code for each in ("checkpoint", "c1")] == [1, 1]


def test_diff_is_a_delta_for_each_domain(repo: Path, entries: list[Any]) -> None:
    """Those of the slice of the list, for programs and for people; a domain without operations is left out."""
    filled(repo, [making.entry(99, domain="docs")])
    found = json.loads(muse("diff", "s", "7", making.op_id(31), "--repo", repo, "--json").stdout)
    assert found["deltas"] == [plain_scan.delta(entries[7:31], domain) for domain in ("code", "music")]
    assert (found["since"]["op_count"], found["upto"]["op_count"]) == (7, 31)
    result = muse("diff", "s", "7", making.op_id(31), "--repo", repo)
    assert result.stdout.splitlines()[0].split() == ["DOMAIN", "OP", "ADDRESS", "WHAT"]
    assert len(result.stdout.splitlines()) == 1 + 24
    assert "24 entries after the first 7" in result.stderr


def test_diff_names_the_earlier_moment_first(repo: Path, entries: list[Any]) -> None:
    """The other way round is a mistake, not an empty answer."""
    result = muse("diff", "s", "now", "start", "--repo", repo)
    assert result.exit_code == 2
    assert "earlier moment first" in result.stderr


def test_delta_begins_where_it_is_told_to(repo: Path, entries: list[Any]) -> None:
    """At the checkpoint, or at any moment."""
    for options, expected in (((), entries[6:]), (("--since", "start", "--upto", "20"), entries[:20])):
        found = json.loads(muse("delta", "s", "code", "--repo", repo, "--json", *options).stdout)
        assert found == plain_scan.delta(expected, "code")


@pytest.mark.process
def test_a_commit_in_git_is_a_moment(repo: Path) -> None:
    """By the beginning of its id; what was committed with it lies before."""
    children.run(["git", "init", "-q", repo])
    filled(repo, making.entries(5))
    muse("commit", "s", "--repo", repo)
    first = json_lines(muse("commits", "s", "--repo", repo, "--json").stdout)[0]["commit"]
    filled(repo, making.entries(3, start=6))
    muse("commit", "s", "--repo", repo)
    assert muse("count", "s", "--repo", repo, "--since", f"commit:{first[:8]}").stdout.strip() == "3"
    assert muse("count", "s", "--repo", repo, "--since", "commit:").exit_code == 2
