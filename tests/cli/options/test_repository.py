"""The rule for --repo, and what is said where the first session is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, muse


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), "top/src/deep"),
        (("top/.muse/",), "top"),
        (("top/.git/",), "top"),
        (("top/.git",), "top"),
        ((".muse/", "top/.git/"), "."),
        (("top/.muse/", "top/src/.git/"), "top"),
    ],
)
def test_session_is_put_where_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], expected: str
) -> None:
    """Next to the nearest .muse/ upwards, else at the top of the git repository, else here; it is found from below.

    In a worktree .git is a file.
    """
    inside = tmp_path / "top" / "src" / "deep"
    inside.mkdir(parents=True)
    for name in there:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("gitdir: /elsewhere\n")
    monkeypatch.chdir(inside)
    muse("append", "s", stdin=making.line(making.entry(1)))

    assert list(tmp_path.rglob("ops.jsonl")) == [making.log_path(tmp_path / expected)]
    assert muse("count", "s").stdout == "1\n"


def test_repo_given_wins_over_the_one_found(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--repo is taken as it is, not searched upwards from."""
    filled(tmp_path, making.entries(5))
    monkeypatch.chdir(tmp_path)

    assert muse("query", "s", "--repo", repo).exit_code == 2


@pytest.mark.parametrize("command", ["append", "merge", "import"])
def test_first_session_of_a_repository_says_where_it_is(repo: Path, tmp_path: Path, command: str) -> None:
    """Once: the folder and, in git, a command that keeps the indexes out of it. Nothing but .muse/ is made."""
    (tmp_path / ".git").mkdir()
    source = tmp_path / "source"
    filled(source, making.entries(2))
    muse("export", "s", tmp_path / "s.gz", "--repo", source)
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(making.line(making.entry(1)))
    arguments = {"append": ("s", plain), "merge": ("s", source), "import": (tmp_path / "s.gz", "s")}[command]

    first = muse(command, *arguments, "--repo", repo)
    second = muse("append", "t", plain, "--repo", repo)

    assert first.exit_code == second.exit_code == 0
    assert f"sessions are kept in {repo}/.muse\n" in first.stderr
    assert f".summaries.json >> {repo}/.muse/.gitignore\n" in first.stderr
    assert "kept in" not in second.stderr
    assert not list(tmp_path.rglob(".gitignore"))
