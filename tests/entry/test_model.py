"""op_ids that are made from a key, and op_ids that somebody else has made; times as they are written."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, OpLog, op_id_of, parse_time
from tests import making
from tests.making import entry
from tests.plain_scan import exact, exact_list
from tests.samples import examples

# Of each version that RFC 9562 defines; fixed, since the workers of a test run must collect the same tests.
OF_EACH_VERSION = [f"2d58b822-e701-{version}1f1-aacf-02fc0000000{version}" for version in range(1, 9)]


def test_op_id_of_is_the_same_on_every_machine_and_in_every_version() -> None:
    """What was made of a key once must be found again: the value is part of the format."""
    assert op_id_of("orders/17") == "f942c895-129e-583b-9a47-cfaa84924917"
    assert op_id_of("Grüße") == "a1824f90-632b-5d17-9534-d716f565bda9"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
@examples(100)
def test_op_id_of_two_keys_is_the_same_only_if_the_keys_are(key: str, more: str) -> None:
    """A UUID5 in canonical text; another one for another key."""
    made = op_id_of(key)
    assert made == str(uuid.UUID(made))
    assert uuid.UUID(made).version == 5
    assert (op_id_of(key + more) == made) == (not more)


@pytest.mark.parametrize("key", ["", None, 5, b"x", "\ud800", uuid.UUID(int=5)], ids=repr)
def test_op_id_of_refuses_what_is_no_key(key: Any) -> None:
    """Nothing, or no text: else all messages without a key would be one operation."""
    with pytest.raises(InvalidArgumentError, match="key"):
        op_id_of(key)


def test_op_ids_of_other_uuid_versions_are_taken_and_read(repo: Path, log: OpLog) -> None:
    """Alone, in a batch and by another program, as identity and as parent; by a plain scan and by seek."""
    made = [entry(number, op_id=op_id, parent_op_ids=OF_EACH_VERSION) for number, op_id in enumerate(OF_EACH_VERSION)]
    log.append(made[0])
    log.append_many(made[1:4])
    making.add_bytes(log.path, b"".join(map(making.line, made[4:])))

    scanned = making.assert_same_as_scan(log, log.path)

    assert scanned.op_ids == OF_EACH_VERSION
    assert exact_list(log) == exact_list(made)
    making.drop_index(repo)
    with OpLog(repo, "s") as again:
        assert [exact(again.get(op_id)) for op_id in OF_EACH_VERSION] == exact_list(made)
        assert exact_list(again.history.parents(OF_EACH_VERSION[0])) == exact_list(made)
        assert again.verify().ok


def test_text_that_is_no_time_is_none() -> None:
    """A time without a zone is taken for UTC."""
    assert parse_time("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_time("2026-01-02T03:04:05+01:00") == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert [parse_time(text) for text in ("", "yesterday", "2026-13-01", "\x00", "1e9")] == [None] * 5
