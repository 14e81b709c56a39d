"""The commits in a report: those of git, with the ops that git says are in them, and never too many."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from muse.report import limits
from muse.report.gathering.commits import Commits
from muse.report.page.html import report_page
from tests import making, plain_scan
from tests.cli.running import muse
from tests.commit.targets import git
from tests.report import sessions
from tests.report.test_picture import NAMESPACE, drawn, left, picture

pytestmark = pytest.mark.process


def commit_of_each_op(data: dict[str, Any]) -> dict[str, str]:
    """The id of the commit of each op shown, "pending", or "none"."""
    ids = {row[0]: row[1] for row in data["commits"]["rows"]} | dict(data["commits"]["others"])
    return {row[0]: ids.get(row[8], "pending" if row[5] else "none") for row in data["shown"]["rows"]}


def test_commits_are_those_of_git_and_hold_what_git_says(repo: Path) -> None:
    """Ids, numbers, ends, timestamps and actors equal what `git` prints and plain JSON says of it, op by op."""
    entries = sessions.crowd(9, 300)
    sessions.committed(repo, entries, 50, 51, 170, 250)
    data = sessions.data(repo)

    ids = git(repo, "log", "--first-parent", "--reverse", "--format=%H", "refs/muse/s").split()
    inside = [[json.loads(line) for line in git(repo, "show", f"{each}:ops.jsonl").splitlines()] for each in ids]
    rows = data["commits"]["rows"]
    assert [row[1] for row in rows] == [each[:12] for each in ids]
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert [row[3] for row in rows] == [len(each) for each in inside] == [50, 1, 119, 80]
    assert [row[4] for row in rows] == list(accumulate(map(len, inside)))
    assert [row[5] for row in rows] == list(
        accumulate((max(entry["lamport_ts"] for entry in each) for each in inside), max)
    )
    names = data["lanes"]["names"]
    for row, each in zip(rows, inside, strict=True):
        counts = {name: [entry["actor_id"] for entry in each].count(name) for name in names}
        named = {names[lane]: ops for lane, ops in row[7]}
        assert {name: counts[name] for name in named} == named
        assert sorted(named.values()) == sorted(counts.values())[-len(named) :]
        assert row[6] == sum(map(bool, counts.values()))
    assert (data["commits"]["all"], data["commits"]["ops"], data["commits"]["others"]) == (4, 250, [])
    expected = {entry["op_id"]: made[:12] for made, each in zip(ids, inside, strict=True) for entry in each}
    expected |= {entry["op_id"]: "pending" for entry in plain_scan.scan_file(making.log_path(repo)).entries[250:]}
    assert commit_of_each_op(data) == expected


def test_two_thousand_commits_are_thinned_and_each_op_knows_its_own(repo: Path) -> None:
    """The newest are all there, the others at even distance; the page says how many there are, and stays small."""
    path = sessions.recorded(repo, sessions.evenly(2_100))
    ids = [f"{number:040x}" for number in range(1, 2_001)]
    without = len(report_page(sessions.data_with(repo, [])))
    data = sessions.data_with(repo, sessions.made_by_hand(path, [each[::-1] for each in ids]))

    numbers = [row[0] for row in data["commits"]["rows"]]
    assert data["commits"]["all"] == 2_000
    assert len(set(numbers)) == limits.MAX_COMMITS
    assert numbers[-250:] == list(range(1_751, 2_001))
    assert {later - earlier for earlier, later in pairwise(numbers[:250])} == {7}
    of_op = commit_of_each_op(data)
    for number, entry in enumerate(plain_scan.scan_file(path).entries, start=1):
        assert of_op[entry["op_id"]] == (f"{number:040x}"[::-1][:12] if number <= 2_000 else "pending")
    assert len(report_page(data)) < without + 150_000


@pytest.mark.parametrize("covered", [0, 3, 8])
def test_not_committed_is_what_neither_a_commit_nor_the_checkpoint_holds(repo: Path, covered: int) -> None:
    """Whichever of the two goes further; without either, it is everything."""
    path = sessions.recorded(repo, sessions.evenly(10), checkpoint_after=covered)

    commits = sessions.made_by_hand(path, list("abcde"))
    assert sessions.data_with(repo, [])["checkpoint"]["pending"] == 10 - covered
    data = sessions.data_with(repo, commits)
    assert data["checkpoint"]["pending"] == 10 - max(covered, 5)
    assert list(commit_of_each_op(data).values()).count("pending") == 10 - max(covered, 5)


def test_the_worst_commits_take_little_of_the_page(repo: Path) -> None:
    """Ids and times of letters that take the most room, and more actors than lanes, add a tenth of the limit."""
    entries = [making.entry(number, actor_id=f"{number}{'<' * 300}") for number in range(1, 2_001)]
    path = sessions.recorded(repo, entries)
    commits = sessions.made_by_hand(path, [f"{'<' * 60}{number}" for number in range(2_000)])

    grown = len(report_page(sessions.data_with(repo, commits))) - len(report_page(sessions.data_with(repo, [])))
    assert grown < limits.MAX_PAGE_BYTES / 10


def test_hostile_ids_and_times_are_text(repo: Path) -> None:
    """No text of a commit ends the data, and none holds a character that changes what is read."""
    hostile = sorted(sessions.HOSTILE)
    path = sessions.recorded(repo, sessions.evenly(len(hostile)))
    data = sessions.data_with(repo, sessions.made_by_hand(path, hostile))

    assert "<" not in report_page(data).split('id="data">')[1].split("</script>\n<script>")[0]
    texts = [text for row in data["commits"]["rows"] for text in row[1:3]]
    assert all(text.isprintable() for text in texts)
    assert [row[1] for row in data["commits"]["rows"]][hostile.index("__proto__")] == "__proto__"


@pytest.mark.parametrize("damaged", [0, 2, 5, 6])
def test_ops_stay_in_their_commit_when_others_are_damaged(repo: Path, damaged: int) -> None:
    """Which commit an op is in follows from where its line stands, not from how many are left before it."""
    sessions.committed(repo, sessions.evenly(12), 3, 6, 9)
    sessions.damage_line(making.log_path(repo), damaged)
    data = sessions.data(repo)

    ids = [row[1] for row in data["commits"]["rows"]]
    expected = {making.op_id(at + 1): [*ids, "pending"][at // 3] for at in range(12) if at != damaged}
    assert commit_of_each_op(data) == expected


def test_ops_before_an_adopted_commit_are_in_none(repo: Path) -> None:
    """What a checkpoint covered before the first commit is neither in it nor pending."""
    git(repo, "init", "-q")
    sessions.recorded(repo, sessions.evenly(7), checkpoint_after=4)
    assert muse("commit", "s", "--adopt", "--repo", repo).exit_code == 0
    data = sessions.data(repo)

    (row,) = data["commits"]["rows"]
    assert (row[3], row[4], data["commits"]["ops"]) == (3, 7, 3)
    assert list(commit_of_each_op(data).values()).count("none") == 4


def test_commits_elsewhere_are_named_with_git(repo: Path, tmp_path: Path) -> None:
    """The session lies in no repository of its own; its commits are shown if their place is named."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "-q")
    sessions.recorded(repo, sessions.evenly(5))
    assert muse("commit", "s", "--git", elsewhere, "--repo", repo).exit_code == 0

    assert sessions.data(repo)["commits"] is None
    data = sessions.data(repo, "--git", elsewhere)
    assert data["commits"]["all"] == 1


def test_commits_that_are_asked_for_and_not_there_are_an_error(repo: Path, tmp_path: Path) -> None:
    """No repository ends with 3, no commits or those of another log with 2; nothing is written."""
    sessions.recorded(repo, sessions.evenly(5))
    page = tmp_path / "report.html"
    plain, empty, other = (tmp_path / name for name in ("plain", "empty", "other"))
    for folder in (plain, empty, other):
        folder.mkdir()
    git(empty, "init", "-q")
    sessions.committed(other, sessions.evenly(9)[2:], 7)

    for folder, exit_code, said in (
        (plain, 3, "not a git repository"),
        (empty, 2, "no commit of session 's'"),
        (other, 2, "it is of another log"),
    ):
        result = muse("report", "s", "-o", page, "--repo", repo, "--git", folder)
        assert (result.exit_code, said in result.stderr) == (exit_code, True), result.stderr
        assert not page.exists()


def test_commits_that_were_not_asked_for_stop_no_report(repo: Path) -> None:
    """A repository without commits is passed over in silence; commits of another log are, and it is said."""
    git(repo, "init", "-q")
    sessions.recorded(repo, sessions.evenly(5))
    report = ("report", "s", "-o", repo / "report.html", "--repo", repo)
    assert "commits are not shown" not in muse(*report).stderr

    muse("commit", "s", "--repo", repo)
    making.log_path(repo).unlink()
    sessions.recorded(repo, sessions.evenly(9)[2:])
    assert "commits are not shown" in muse(*report).stderr
    assert sessions.data(repo)["commits"] is None


def test_history_with_a_gap_is_refused(repo: Path) -> None:
    """Commits between which one is missing would give its ops to the next one."""
    path = sessions.recorded(repo, sessions.evenly(5))
    commits = sessions.made_by_hand(path, list("abcde"))
    with OpLog(repo, "s") as log, pytest.raises(ValueError, match="commit d does not begin where its parent ended"):
        Commits(log, [*commits[:2], *commits[3:]])


def test_picture_has_a_line_for_each_commit(repo: Path) -> None:
    """Each right of the ops of its commit, in order, with its id as a title; the picture says how many."""
    made = sessions.committed(repo, sessions.evenly(30), 10, 15, 28)
    root = picture(repo)

    lines = drawn(root, "commit")
    assert [line.findtext(f"{NAMESPACE}title") for line in lines] == [
        f"commit {each[:12]}, {ops} ops" for each, ops in zip(made, (10, 5, 13), strict=True)
    ]
    assert list(map(left, lines)) == sorted(map(left, lines))
    assert any("thin lines are commits, 3 in all" in (text.text or "") for text in root.iter(f"{NAMESPACE}text"))
