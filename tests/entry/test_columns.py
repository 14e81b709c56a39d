"""Many entries at once: what is found valid together is valid alone, and the columns are what the entries say."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.columns import columns_of
from muse.core.op_log import InvalidEntryError, OpLog, op_id_of
from tests import plain_scan
from tests.entry.test_validation import UNCARRIED
from tests.making import entry, fresh_repo, op_id
from tests.samples import JSON, examples

_ALMOST_OP_IDS = [
    op_id(1).upper(),
    op_id(1).replace("-", ""),
    f"{{{op_id(1)}}}",
    op_id(1)[:14] + "0" + op_id(1)[15:],
    op_id(1)[:14] + "9" + op_id(1)[15:],
    op_id(1)[:19] + "7" + op_id(1)[20:],
    op_id(1)[:8] + "0" + op_id(1)[9:],
    op_id(1)[:7] + "-" + op_id(1)[7:8] + op_id(1)[9:],
    op_id(1)[:-2] + "  ",
    " " + op_id(1)[:-1],
    op_id(1)[:-1] + "٣",
    op_id(1) + "0",
    op_id(1)[:-1] + "\n",
]
"""What a quick look may take for a UUID in canonical text."""

_STRANGE = st.one_of(
    JSON,
    st.sampled_from(
        [*_ALMOST_OP_IDS, op_id(7), op_id_of("7"), [op_id(7)], [op_id(7), op_id(8)], "", 2**53, 2**53 - 1, -1, True]
    ),
    st.sampled_from(_ALMOST_OP_IDS).map(lambda text: [text]),
    st.sampled_from(sorted(UNCARRIED)).map(lambda name: UNCARRIED[name]()),
)


def plain_columns(entries: list[Any]) -> tuple[tuple[Any, ...], ...]:
    """The columns of valid entries, field by field."""
    return (
        tuple(each["lamport_ts"] for each in entries),
        tuple(uuid.UUID(each["op_id"]).bytes for each in entries),
        *(tuple(each[name] for each in entries) for name in ("actor_id", "domain", "intent_id", "reservation_id")),
        tuple(b"".join(uuid.UUID(parent).bytes for parent in each["parent_op_ids"]) for each in entries),
    )


@given(st.integers(0, 12), st.integers(0, 12), st.sampled_from([*plain_scan.FIELDS, "further", ""]), _STRANGE)
@examples(200)
def test_columns_are_made_of_entries_that_are_valid_one_by_one_and_of_no_others(
    before: int, after: int, name: str, value: object
) -> None:
    """Any value in any field of an entry among good ones."""
    entries: list[Any] = [entry(number, parent_op_ids=[op_id(99)] * (number % 3)) for number in range(before)]
    entries.append(entry(50, **{name: value}) if name else value)
    entries += [entry(number) for number in range(100, 100 + after)]
    columns = columns_of(entries)
    assert (columns is not None) == all(map(_is_valid, entries))
    if columns is not None:
        assert tuple(map(tuple, columns)) == plain_columns(entries)


def _is_valid(entry: Any) -> bool:
    """Valid by the plain reading, and of no subclass of a JSON type."""
    if type(entry) is not dict or plain_scan.fault(entry) is not None:
        return False
    values = [*(entry[name] for name in plain_scan.FIELDS), *entry["parent_op_ids"]]
    return all(type(value) in (str, int, list, dict) for value in values)


@pytest.mark.parametrize("name", plain_scan.FIELDS)
def test_each_field_is_asked(name: str) -> None:
    """Values that some field takes and others do not, in the first, a middle and the last entry."""
    values: list[Any] = ["", "x", 0, -1, 2**53, 2**53 - 1, True, None, 1.0, [], {}, [""], [op_id(9)], op_id(9)]
    for value in values:
        bad = entry(2, **{name: value})
        for entries in ([bad, entry(1), entry(3)], [entry(1), bad, entry(3)], [entry(1), entry(3), bad]):
            assert (columns_of(entries) is not None) == _is_valid(bad), value


@pytest.mark.parametrize("almost", _ALMOST_OP_IDS)
@pytest.mark.parametrize("name", ["op_id", "parent_op_ids"])
def test_what_is_almost_an_op_id_is_none(almost: str, name: str) -> None:
    """Upper case, other dashes, other versions, blanks and digits of other scripts, among good ones."""
    bad = entry(2, **{name: [almost] if name == "parent_op_ids" else almost})
    assert columns_of([entry(1), bad, entry(3)]) is None
    assert columns_of([entry(1), entry(3)]) is not None


def test_op_ids_that_make_up_for_each_other_are_none() -> None:
    """One a digit short and one a digit long, one dash more and one less: in sum they look right."""
    for short, long in ((op_id(1)[:-1], op_id(2) + "a"), (op_id(1)[:8] + op_id(1)[9:] + "a", op_id(2)[:-1] + "-")):
        assert columns_of([entry(1, op_id=short), entry(2, op_id=long)]) is None
        assert columns_of([entry(1), entry(2, parent_op_ids=[short, long])]) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*plain_scan.FIELDS, "further"]),
            st.recursive(JSON | st.sampled_from(sorted(UNCARRIED)).map(lambda name: UNCARRIED[name]()), st.lists),
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
@examples(150)
def test_a_batch_is_refused_as_the_first_of_its_entries_that_is_refused_alone(
    fields: list[tuple[str, Any]], nested: bool
) -> None:
    """The same error with the same words, or the same lines."""
    good: dict[str, Any] = {"domain_op": {"op": "x", "v": [1, {"a": None}]}} if nested else {}
    made = [entry(0, **good), *(entry(number, **{name: value}) for number, (name, value) in enumerate(fields, 1))]
    with fresh_repo() as repo, OpLog(repo, "one") as one, OpLog(repo, "batch") as batch:
        refused = None
        for each in made:
            try:
                one.append(each)
            except InvalidEntryError as error:
                refused = error
                break
        if refused is None:
            batch.append_many(made)
            assert batch.path.read_bytes() == one.path.read_bytes()
        else:
            with pytest.raises(type(refused)) as caught:
                batch.append_many(made)
            assert str(caught.value) == str(refused)
            assert not batch.exists()


def test_the_longest_line_of_a_batch_counts(repo: Path) -> None:
    """One entry beyond the limit refuses all, and names what is wrong."""
    with OpLog(repo, "s", max_line_bytes=1_000) as log:
        with pytest.raises(InvalidEntryError, match="limit is 1000"):
            log.append_many([entry(1), entry(2, domain_op={"op": "x" * 1_000}), entry(3)])
        assert not log.exists()
