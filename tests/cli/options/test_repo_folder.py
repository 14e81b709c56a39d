"""The rule for --repo, and what is said where the first session is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, json_lines, muse


def test_repo_is_the_nearest_folder_upwards_with_a_muse_folder(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep inside a repository, its sessions are found without --repo."""
    filled(repo, [making.entry(1)])
    inside = repo / "src" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)

    assert len(json_lines(muse("query", "s", "--json").stdout)) == 1
    muse("append", "s", stdin=making.line(making.entry(2)))
    assert not (inside / ".muse").exists()
    assert len(json_lines(muse("query", "s", "--json").stdout)) == 2


def test_repo_is_here_where_there_is_no_muse_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first append makes .muse/ in the current folder."""
    monkeypatch.chdir(tmp_path)

    muse("append", "s", stdin=making.line(making.entry(1)))

    assert making.log_path(tmp_path).is_file()


def test_repo_given_wins_over_the_one_found(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--repo is taken as it is, not searched upwards from."""
    filled(tmp_path, making.entries(5))
    monkeypatch.chdir(tmp_path)

    assert muse("query", "s", "--repo", repo).exit_code == 2


@pytest.mark.parametrize("mark", ["folder", "file"])
def test_repo_is_the_top_of_the_git_repository_where_there_is_no_muse_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """Wherever in it one is, all sessions go into one .muse/; in a worktree .git is a file."""
    inside = tmp_path / "top" / "src" / "deep"
    inside.mkdir(parents=True)
    git = tmp_path / "top" / ".git"
    git.mkdir() if mark == "folder" else git.write_text("gitdir: /elsewhere\n")
    monkeypatch.chdir(inside)
    muse("append", "s", stdin=making.line(making.entry(1)))
    monkeypatch.chdir(inside.parent)
    muse("append", "s", stdin=making.line(making.entry(2)))

    assert {path.relative_to(tmp_path) for path in tmp_path.rglob(".muse")} == {Path("top/.muse")}
    assert len(json_lines(muse("query", "s", "--json").stdout)) == 2


def test_muse_folder_above_wins_over_the_top_of_the_git_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has sessions already gets the next one too."""
    inside = tmp_path / "top"
    (inside / ".git").mkdir(parents=True)
    filled(tmp_path, making.entries(1))
    monkeypatch.chdir(inside)

    assert muse("query", "s").exit_code == 0


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
