"""Session ids and folders: every id comes back as it was, or is refused; nothing is written elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muse.core.op_log import InvalidSessionIdError, MuseError, OpLog, list_sessions
from tests import making
from tests.making import entry
from tests.samples import examples

SAFE = ["s", "session-1", "2026-01-02", "a.b", "a_b", "A", "x" * 100]
STRANGE = [
    *(
        "",
        ".",
        "..",
        "...",
        ".hidden",
        "/",
        "/etc",
        "a/b",
        "a//b",
        "../x",
        "a/../../x",
        "a/",
        "./a",
        "feature/x",
    ),
    *(
        "a%b",
        "a%2Fb",
        "%",
        "%%",
        "%2e%2e",
        "%00",
        "\x00",
        "a\x00b",
        "a\nb",
        " ",
        " a",
        "a ",
        "a\\b",
        "C:\\x",
        "~",
        "-rf",
    ),
    *(
        "con",
        "NUL",
        "aux.txt",
        "a:b",
        "a*b?",
        '"',
        "'",
        "<>|",
        "é",
        "e\u0301",
        "日本",
        "\U0001d11e",
        "\u202e",
        "\ufeff",
    ),
    *(
        "x" * 255,
        "x" * 256,
        "x" * 300,
        "é" * 150,
        "/" * 200,
        "ops.jsonl",
        "index.db",
        "\x7f",
        "\x1b[31m",
        "İ",
        "ß",
        "SS",
    ),
    *("a", "A", "Session", "session"),
]


def test_a_safe_id_is_the_name_of_its_folder(repo: Path) -> None:
    """Letters, digits, dots inside, dashes and underscores: the folder is the id itself."""
    for name in SAFE:
        with OpLog(repo, name) as log:
            log.append(entry(1))
            assert log.session_id == name
            assert log.folder == repo / ".muse" / "op_log" / name
    assert list_sessions(repo) == sorted(SAFE)


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a_strange_id_is_encoded_or_refused_and_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    """The id is refused with InvalidSessionIdError, or has one folder in op_log/ and is listed as it is."""
    repo = tmp_path / "outer" / "repo"
    repo.mkdir(parents=True)
    try:
        with OpLog(repo, name) as log:
            log.append(entry(1))
            log.checkpoint("x")
            assert log.session_id == name
    except InvalidSessionIdError:
        assert making.tree(tmp_path) == {"outer": None, "outer/repo": None}
        return
    assert list_sessions(repo) == [name]
    top = repo / ".muse" / "op_log"
    (folder,) = top.iterdir()
    assert folder.is_dir()
    assert not folder.is_symlink()
    for found in making.tree(tmp_path):
        inside = Path(found).is_relative_to(folder.relative_to(tmp_path))
        assert inside or Path(found) in (top.relative_to(tmp_path), *top.relative_to(tmp_path).parents)
    with OpLog(repo, name) as log:
        assert len(log) == 1


def test_all_strange_ids_live_side_by_side(repo: Path) -> None:
    """No two ids share a folder, and the listing gives all of them back, sorted."""
    taken = []
    for number, name in enumerate(dict.fromkeys(STRANGE), 1):
        try:
            with OpLog(repo, name) as log:
                assert log.append(entry(number)) is True
                assert len(log) == 1
            taken.append(name)
        except InvalidSessionIdError:
            continue
    assert list_sessions(repo) == sorted(taken)
    assert len(list((repo / ".muse" / "op_log").iterdir())) == len(taken)


@given(st.lists(st.text(max_size=12) | st.text("./%aA~-_2fF\\\x00", max_size=12), min_size=1, max_size=8, unique=True))
@example(["a/b", "a%2Fb", "a%2fb", "a%252Fb", "A%2FB"])
@examples(60)
def test_the_encoding_of_ids_is_injective_and_reversible(names: list[str]) -> None:
    """Any set of ids that is taken is listed exactly, one folder for each."""
    with making.fresh_repo() as repo:
        taken = []
        for name in names:
            try:
                with OpLog(repo, name) as log:
                    folder = log.folder
            except InvalidSessionIdError:
                continue
            taken.append(name)
            making.add_bytes(folder / "ops.jsonl", making.line(entry(1)))
        assert list_sessions(repo) == sorted(taken)
        folders = list((repo / ".muse" / "op_log").iterdir()) if taken else []
        assert len(folders) == len(taken)


@pytest.mark.parametrize("name", [None, 5, b"s", Path("s"), ["s"], "\ud800", "a\udfff"], ids=ascii)
def test_an_id_that_is_no_text_is_refused(repo: Path, name: object) -> None:
    """Something that is no str, or no encodable one, raises InvalidSessionIdError, which is a ValueError."""
    with pytest.raises(InvalidSessionIdError) as caught:
        OpLog(repo, name)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert making.tree(repo) == {}


def test_a_folder_that_no_id_is_encoded_as_is_not_listed(repo: Path) -> None:
    """Stray files and folders in op_log/ are no sessions, and do not break the listing."""
    with OpLog(repo, "real") as log:
        log.append(entry(1))
    top = repo / ".muse" / "op_log"
    top.joinpath("stray file").write_text("x")
    for stray in ("bad%zz", ".hidden", "%", "half%2"):
        top.joinpath(stray).mkdir()
        top.joinpath(stray, "ops.jsonl").write_bytes(making.line(entry(2)))
    top.joinpath(os.fsdecode(b"\xff\xfe")).mkdir()
    assert list_sessions(repo) == ["real"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_session_folder_that_is_a_link_leading_out_is_refused(repo: Path, tmp_path: Path, exists: bool) -> None:
    """Nothing is written through a link out of op_log/, be its target there or not."""
    outside = tmp_path / "outside"
    if exists:
        outside.mkdir()
    top = repo / ".muse" / "op_log"
    top.mkdir(parents=True)
    top.joinpath("s").symlink_to(outside)
    with pytest.raises(InvalidSessionIdError), OpLog(repo, "s") as log:
        log.append(entry(1))
    assert outside.exists() == exists
    assert not exists or making.tree(outside) == {}


@pytest.mark.parametrize("name", ["ops.jsonl", "checkpoint.json", "index.db", "index.db-wal"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_file_of_a_session_that_is_a_link_leading_out_is_not_written_through(
    repo: Path, tmp_path: Path, name: str, exists: bool
) -> None:
    """Whatever file of the session is a link out of op_log/, its target is neither made nor changed."""
    outside = tmp_path / "outside"
    if exists:
        outside.write_bytes(b"precious\n")
    folder = making.log_path(repo).parent
    folder.mkdir(parents=True)
    folder.joinpath(name).symlink_to(outside)
    try:
        with OpLog(repo, "s") as log:
            log.append(entry(1))
            log.checkpoint("x")
            log.rebuild_index()
    except (MuseError, OSError):
        pass
    assert outside.exists() == exists
    assert not exists or outside.read_bytes() == b"precious\n"
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "repo"}


def test_a_repository_that_is_itself_reached_through_a_link_works(repo: Path, tmp_path: Path) -> None:
    """A link on the way to the repository is the user's own business."""
    link = tmp_path / "link"
    link.symlink_to(repo)
    with OpLog(link, "s") as log:
        log.append(entry(1))
    assert list_sessions(link) == list_sessions(repo) == ["s"]


def test_listing_a_folder_without_sessions_is_empty(repo: Path) -> None:
    """No .muse, an empty .muse, an empty op_log: no sessions, nothing made."""
    assert list_sessions(repo) == []
    assert making.tree(repo) == {}
    (repo / ".muse" / "op_log").mkdir(parents=True)
    assert list_sessions(repo) == []
