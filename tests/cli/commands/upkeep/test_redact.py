"""The command `redact`: what it shows, asks and does, and where it says that the text still is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muse.commit import GitTarget
from muse.core.op_log import OpLog
from tests import children, making
from tests.cli.running import filled, muse
from tests.making import entries, entry, op_id

CANARY = "s3cr3t-CANARY"


@pytest.fixture
def leaked(repo: Path) -> Path:
    """A session "s" of five entries, and a sixth that holds a secret."""
    filled(repo, [*entries(5), entry(9, domain_op={"op": "insert", "address": "a.env", "text": CANARY * 9})])
    return repo


def test_ops_are_redacted_by_the_beginning_of_their_ids(leaked: Path) -> None:
    """What it prints has no word of the secret; the log has none either, and verify is clean."""
    done = muse(
        *("redact", "s", op_id(9)[:8], op_id(9), "--why", "held a token", "--by", "ada", "--yes", "--repo", leaked)
    )

    assert done.exit_code == 0
    assert op_id(9) in done.stdout
    assert CANARY not in done.stdout + done.stderr
    assert "redacted by ada: 1 op, 1 line overwritten" in done.stderr
    assert "replicas" in done.stderr
    assert "backups" in done.stderr
    assert not [name for name, data in making.tree(leaked).items() if data and CANARY.encode() in data]
    shown = json.loads(muse("show", "s", op_id(9), "--json", "--repo", leaked).stdout)["entry"]["domain_op"]
    assert (shown["op"], shown["by"], shown["why"]) == ("redacted", "ada", "held a token")
    verified = muse("verify", "s", "--repo", leaked)
    assert verified.exit_code == 0
    assert "held a token" in verified.stdout.replace("\n", " ")
    again = muse("redact", "s", op_id(9), "--why", "x", "--yes", "--repo", leaked)
    assert (again.exit_code, "redacted before" in again.stderr) == (0, True)


def test_damaged_checkpoint_hides_neither_what_was_done_nor_where_else_it_is(leaked: Path) -> None:
    """The redaction is made whatever the checkpoint is, so it is a success, and the places are listed."""
    making.log_path(leaked).with_name("checkpoint.json").write_text("{")
    command = ("redact", "s", op_id(9), "--why", "x", "--repo", leaked)

    planned = json.loads(muse(*command, "--json").stdout)
    assert "checkpoint.json: not JSON" in planned["elsewhere"]["checkpoint_unknown"]
    done = muse(*command, "--yes")
    assert (done.exit_code, CANARY.encode() in making.log_bytes(leaked)) == (0, False)
    assert "checkpoint.json: not JSON" in done.stderr
    assert "- replicas" in done.stderr


@pytest.mark.parametrize("wrong", [("ffffffff",), (op_id(9), "zz"), ()])
def test_an_op_that_is_not_there_is_wrong_usage(leaked: Path, wrong: tuple[str, ...]) -> None:
    """And nothing is redacted, also of the others."""
    before = making.log_bytes(leaked)
    done = muse("redact", "s", *wrong, "--why", "x", "--yes", "--repo", leaked)
    assert (done.exit_code, making.log_bytes(leaked)) == (2, before)


@pytest.mark.process
def test_commits_and_spaces_that_still_have_it_are_named(leaked: Path) -> None:
    """A commit goes on after it, and counts it as redacted when it is held against the log."""
    children.run(["git", "init", "-q", leaked])
    with OpLog(leaked, "s") as log:
        made = log.commit(GitTarget(leaked))
    assert made is not None
    (leaked / ".muse" / "replicas" / "studio").mkdir(parents=True)
    (leaked / ".muse" / "replicas" / "studio" / "s.json").write_text("{}")

    done = muse("redact", "s", op_id(9), "--why", "x", "--by", "ada", "--yes", "--json", "--repo", leaked)
    told = json.loads(done.stdout)
    assert told["elsewhere"]["commits"] == {op_id(9): made.commit_id}
    assert told["elsewhere"]["spaces"] == ["studio"]
    assert (told["applied"], told["redacted"], told["lines"]) == (True, [op_id(9)], 1)
    assert made.commit_id[:12] in done.stderr

    with OpLog(leaked, "s") as log:
        assert log.verify().ok
        log.append(entry(20))
        after = log.commit(GitTarget(leaked))
        assert after is not None
        assert (after.ops, after.start) == (1, made.cut.byte_offset)
        assert log.verify().ok
        assert log.commit(GitTarget(leaked)) is None
        log.path.with_name("redacted.json").unlink()
        log.append(entry(21))
        assert log.commit(GitTarget(leaked)) is not None
        assert log.verify().ok
    verified = muse("verify", "s", "--git", leaked, "--repo", leaked)
    assert verified.exit_code == 0
    assert "1 entry redacted in the log" in verified.stderr


def test_merge_says_how_many_it_has_redacted(leaked: Path, tmp_path: Path) -> None:
    """Nothing is added then, and the text is gone here too."""
    filled(tmp_path / "other", entries(5))
    muse("merge", "s", leaked, "--repo", tmp_path / "other")
    muse("redact", "s", op_id(9), "--why", "x", "--yes", "--repo", leaked)
    told = json.loads(muse("merge", "s", leaked, "--repo", tmp_path / "other", "--json").stdout)
    assert (told["added"], told["redacted"], told["ops"]) == (0, 1, 6)
    assert not [name for name, data in making.tree(tmp_path / "other").items() if data and CANARY.encode() in data]
