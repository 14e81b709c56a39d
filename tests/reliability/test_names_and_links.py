"""Row 16 and security: no name leads out of its folder, into SQL or to a terminal; no link is written through."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import cast

import pytest

from muse.core.op_log import InvalidSessionIdError, MuseError, OpLog, describe_sessions, list_sessions
from tests import children, making, plain_scan
from tests.cli.running import ESCAPE, muse, muse_process
from tests.making import entry
from tests.plain_scan import exact_list
from tests.reliability import faults

IDS = ["..", ".", "a/b", "/etc", "a\0b", "", "x" * 300, ".hidden", "a%2Fb", "..%2f..", "a\n", "~root", "C:\\x", "é/ü"]


@pytest.mark.parametrize("name", IDS, ids=ascii)
def test_session_id_stays_inside_or_is_refused(tmp_path: Path, name: str) -> None:
    """Row 16: whatever the id, the only thing made is one folder in op_log/, from which the id comes back."""
    repo = tmp_path / "a" / "repo"
    repo.mkdir(parents=True)
    try:
        with OpLog(repo, name) as log:
            log.append(entry(1))
            log.checkpoint("x")
            log.rebuild_index()
    except InvalidSessionIdError:
        assert name == "" or len(name) > 255
        assert making.tree(tmp_path) == {"a": None, "a/repo": None}
        return
    assert list_sessions(repo) == [name]
    (folder,) = (repo / ".muse" / "op_log").iterdir()
    assert set(making.tree(tmp_path)) == {
        *("a", "a/repo", "a/repo/.muse", "a/repo/.muse/op_log", f"a/repo/.muse/op_log/{folder.name}"),
        *(f"a/repo/.muse/op_log/{folder.name}/{file}" for file in ("ops.jsonl", "checkpoint.json", "index.db")),
    }


@pytest.mark.parametrize("target", ["folder", "nothing", "chain", "another session"])
@pytest.mark.parametrize("when", ["before opening", "after opening", "after reading"])
def test_session_folder_is_or_becomes_a_link(repo: Path, tmp_path: Path, target: str, when: str) -> None:
    """Row 16: a link that leads out is never written through, also if it is laid after the log was opened."""
    outside = tmp_path / "outside"
    top = repo / ".muse" / "op_log"
    top.mkdir(parents=True)

    def lay() -> None:
        if target == "folder":
            outside.mkdir()
        if target == "another session":
            (top / "t").mkdir()
        if target == "chain":
            outside.mkdir()
            (top / "t").symlink_to(outside)
        inside = target in {"chain", "another session"}
        (top / "s").symlink_to(top / "t" if inside else outside)

    if when == "before opening":
        lay()
    try:
        with OpLog(repo, "s") as log:
            if when == "after opening":
                lay()
            elif when == "after reading":
                assert len(log) == 0
                lay()
            log.append(entry(1))
            log.checkpoint("x")
    except (MuseError, OSError):
        assert target != "another session"
    else:
        assert target == "another session", "a link that leads out was written through"
    assert not outside.exists() or list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["ops.jsonl", "checkpoint.json", "checkpoint.json.tmp", "index.db", "index.db.new", "index.db-wal"]
)
@pytest.mark.parametrize("target", ["a file", "nothing", "a folder", "/dev/full"])
def test_file_of_a_session_is_a_link(repo: Path, tmp_path: Path, name: str, target: str) -> None:
    """Row 16: nothing outside is made or changed; what is not stopped by it goes on and is right."""
    outside = tmp_path / "outside"
    if target == "a file":
        outside.write_bytes(making.line(entry(70)))
    elif target == "a folder":
        outside.mkdir()
    faults.filled(repo, 3, checkpoint_after=2)
    path = faults.folder_of(repo) / name
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/full" if target == "/dev/full" else outside)
    with OpLog(repo, "s") as log:
        for use in (lambda: log.append(entry(9)), lambda: log.checkpoint("y"), log.rebuild_index):
            try:
                use()
            except (MuseError, OSError):
                assert name != "index.db", "an index stopped something (guarantee 3)"
    if target == "a file":
        assert outside.read_bytes() == making.line(entry(70))
    elif target == "a folder":
        assert list(outside.iterdir()) == []
    else:
        assert not outside.exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "repo"}


@pytest.mark.process
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_files_are_created_with_the_users_umask(repo: Path, umask: int) -> None:
    """No file or folder of a session allows more than the umask does, and each of them all that it does."""

    def work() -> object:
        os.umask(umask)
        with OpLog(repo, "s", durability="fsync") as log:
            log.append(entry(1))
            log.checkpoint("x")
            log.rebuild_index()
            log.append(entry(2))
            return {str(path.relative_to(repo)): stat.S_IMODE(path.stat().st_mode) for path in sorted(repo.rglob("*"))}

    modes = children.in_forked_child(work)
    assert isinstance(modes, dict)
    folders = {".muse", ".muse/op_log", ".muse/op_log/s"}
    files = {f".muse/op_log/s/{name}" for name in ("ops.jsonl", "checkpoint.json", "index.db")}
    assert folders | files <= set(modes)
    for path, mode in modes.items():
        assert mode == (0o777 if path in folders else 0o666) & ~umask, path


SQL = [
    "'; DROP TABLE line; --",
    "' OR '1'='1",
    '" OR ""="',
    "%",
    "_",
    "a_b",
    "a%b",
    "*",
    "?",
    "?1",
    ":actor",
    "$actor",
    "\\",
    "NULL",
    "1",
    "0 OR 1",
    "a\0b",
    "\0",
    "ada' UNION SELECT * FROM name --",
    "x'00'",
    "[name]",
    "`name`",
    "/*",
]


@pytest.mark.parametrize("folded", [False, True])
def test_name_with_a_meaning_in_sql_is_a_name(repo: Path, folded: bool) -> None:
    """In every name of an entry and in every filter: exactly the entries with that name are found."""
    names = ["actor_id", "domain", "intent_id", "reservation_id"]
    made = [
        entry(number, **{name: text for position, name in enumerate(names) if number >> position & 1 or position < 2})
        for number, text in enumerate(SQL * 4, 1)
    ]
    with OpLog(repo, "s") as log:
        log.append_many(made)
        if folded:
            log.rebuild_index()
        for text in (*SQL, "never used", "ada"):
            for name in names:
                expected = plain_scan.select(made, **{name: text})  # type: ignore[arg-type]
                assert exact_list(log.query(**{name: text})) == exact_list(expected)  # type: ignore[arg-type]
                assert log.count(**{name: text}) == len(expected)  # type: ignore[arg-type]
            expected = plain_scan.select(made, actor_id=text, domain=text, min_lamport_ts=9)  # type: ignore[arg-type]
            assert exact_list(log.query(actor_id=text, domain=text, min_lamport_ts=9)) == exact_list(expected)
            assert log.get(text) is None
        making.assert_same_as_scan(log, log.path)
        assert log.verify().findings == ()
        log.checkpoint(SQL[0])
        (summary,) = describe_sessions(repo)
        assert summary.actors == plain_scan.tally(cast("list[plain_scan.Entry]", made), "actor_id")


@pytest.mark.parametrize("session", SQL, ids=ascii)
def test_session_id_with_a_meaning_in_sql_or_a_shell_is_an_id(repo: Path, session: str) -> None:
    """Row 16: it is a session like any other, in the library."""
    with OpLog(repo, session) as log:
        log.append(entry(1))
        log.checkpoint(session)
        assert log.verify().ok
    (summary,) = describe_sessions(repo)
    assert (summary.session_id, summary.ops, summary.pending) == (session, 1, 0)


@pytest.mark.process
def test_escape_sequences_in_every_text_are_shown_and_not_sent(repo: Path) -> None:
    """Names, operations, reasons of damage, checkpoint and session id: no control character leaves a command raw."""
    session = f"s{ESCAPE}"
    op = {"op": f"insert{ESCAPE}", "address": ESCAPE, "content_summary": f"[red]{ESCAPE}", ESCAPE: ESCAPE}
    parent = making.op_id(5)
    with OpLog(repo, session) as log:
        log.append(entry(1, actor_id=f"eve{ESCAPE}", domain=f"music{ESCAPE}", domain_op=op, intent_id=ESCAPE))
        log.checkpoint(f"snapshot{ESCAPE}")
        log.append(entry(2, actor_id=f"[bold]eve{ESCAPE}", domain_op=op, parent_op_ids=[parent]))
        damaged = f'{{"op_id": "{ESCAPE}", "{ESCAPE}": 1, "{ESCAPE}": 2}}\n'.encode()
        making.add_bytes(log.path, damaged + f'{{"{ESCAPE.encode("unicode_escape").decode()}'.encode() + b"\n")
        making.add_bytes(log.path, making.line(entry(1, actor_id=ESCAPE)))
    commands = [
        ("query", session),
        ("replay", session),
        ("sessions",),
        ("verify", session),
        ("delta", session, f"music{ESCAPE}"),
        ("rebuild-index", session),
        ("query", f"no such {ESCAPE}"),
        ("checkpoint", session, ""),
    ]
    for command in commands:
        result = muse(*command, "--repo", repo)
        for character in ESCAPE:
            assert character.isprintable() or character not in result.output, command
    done = muse_process("verify", session, "--repo", repo)
    assert done.returncode == 1
    for character in "\x1b\x9b\x7f\u202e\x07":
        assert character.encode() not in done.stdout + done.stderr
