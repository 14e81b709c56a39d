"""What an entry may hold: JSON comes back exactly, everything else is refused before a byte is written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import re
import uuid
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidEntryError, LimitExceededError, OpLog, make_op_entry
from tests import making, plain_scan
from tests.making import entry, fresh_repo, op_id
from tests.plain_scan import exact, exact_list
from tests.samples import JSON, examples

# A UUID of a version that does not exist.
NO_VERSION = "2d58b822-e701-01f1-aacf-02fc00000001"


@dataclasses.dataclass
class ADataclass:
    """A dataclass: a serialiser would write it as an object."""

    a: int = 1


class AModel(pydantic.BaseModel):
    """A pydantic model: it would be written as an object."""

    a: int = 1


class AText(str):
    """A subclass of str that could mean something else."""

    __slots__ = ()


class AnInt(int):
    """A subclass of int."""


class AFloat(float):
    """A subclass of float."""


class ADict(dict[str, Any]):
    """A subclass of dict."""


class AList(list[Any]):
    """A subclass of list."""


class Colour(enum.Enum):
    """A plain enumeration."""

    RED = "red"


class Pitch(enum.StrEnum):
    """Its members are str."""

    C4 = "C4"


class Velocity(enum.IntEnum):
    """Its members are int."""

    LOUD = 96


class Flags(enum.IntFlag):
    """Its members are int, too."""

    A = 1


Pair = namedtuple("Pair", "a b")


def _cycle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


UNCARRIED: dict[str, Callable[[], object]] = {
    "NaN": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "2**64": lambda: 2**64,
    "-2**63-1": lambda: -(2**63) - 1,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "high surrogate": lambda: "a\ud800b",
    "low surrogate": lambda: "\udfff",
    "swapped surrogates": lambda: "\udc00\ud800",
    "surrogates that would pair": lambda: "\ud834\udd1e",
    "surrogate in a key": lambda: {"\ud800": 1},
    "int key": lambda: {1: 2},
    "None key": lambda: {None: 2},
    "bool key": lambda: {True: 2},
    "float key": lambda: {1.5: 2},
    "tuple key": lambda: {(1, 2): 2},
    "bytes key": lambda: {b"a": 2},
    "uuid key": lambda: {uuid.UUID(int=1): 2},
    "datetime key": lambda: {dt.datetime(2026, 1, 1, tzinfo=dt.UTC): 2},
    "str subclass key": lambda: {AText("k"): 2},
    "enum key": lambda: {Pitch.C4: 2},
    "datetime": lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "date": lambda: dt.date(2026, 1, 1),
    "time": lambda: dt.time(1, 2),
    "timedelta": lambda: dt.timedelta(1),
    "UUID": lambda: uuid.UUID(int=1),
    "dataclass": ADataclass,
    "dataclass type": lambda: ADataclass,
    "pydantic model": AModel,
    "tuple": lambda: (1, 2),
    "empty tuple": lambda: (),
    "namedtuple": lambda: Pair(1, 2),
    "set": lambda: {1},
    "frozenset": lambda: frozenset({1}),
    "bytes": lambda: b"bytes",
    "bytearray": lambda: bytearray(b"bytes"),
    "memoryview": lambda: memoryview(b"bytes"),
    "Decimal": lambda: decimal.Decimal("1.5"),
    "Fraction": lambda: fractions.Fraction(1, 2),
    "complex": lambda: 1j,
    "range": lambda: range(3),
    "generator": lambda: (number for number in (1, 2)),
    "function": lambda: len,
    "object": object,
    "Path": lambda: Path("a"),
    "ellipsis": lambda: ...,
    "Enum": lambda: Colour.RED,
    "StrEnum": lambda: Pitch.C4,
    "IntEnum": lambda: Velocity.LOUD,
    "IntFlag": lambda: Flags.A,
    "str subclass": lambda: AText("text"),
    "int subclass": lambda: AnInt(5),
    "float subclass": lambda: AFloat(1.5),
    "dict subclass": lambda: ADict(a=1),
    "list subclass": lambda: AList([1]),
    "OrderedDict": lambda: OrderedDict(a=1),
    "defaultdict": lambda: defaultdict(int),
    "Counter": lambda: Counter("a"),
    "UserDict": lambda: UserDict({"a": 1}),
    "keys view": {"a": 1}.keys,
    "a ring": _cycle,
}


def refuse(log: OpLog, bad: Any, place: str | None = None) -> str:
    """Assert that an entry is refused by append, by a batch, and by plain absence of new bytes."""
    before = log.path.read_bytes() if log.path.exists() else b""
    with pytest.raises(InvalidEntryError) as caught:
        log.append(bad)
    with pytest.raises(InvalidEntryError):
        log.append_many([entry(7001), bad, entry(7002)])
    assert (log.path.read_bytes() if log.path.exists() else b"") == before
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert len(message) < 2_000, "the error repeats the whole bad value"
    if place is not None:
        assert place in message
    return message


@pytest.mark.parametrize("name", UNCARRIED)
def test_guarantee_1_what_json_can_not_carry_is_refused_and_the_place_is_named(log: OpLog, name: str) -> None:
    """Alone, in a list, and deep below, the value is refused, the key above it is named, no byte is written."""
    make = UNCARRIED[name]
    log.append(entry(1))
    refuse(log, entry(2, domain_op={"op": "x", "culprit": make()}), "culprit")
    message = refuse(log, entry(3, domain_op={"op": "x", "steps": [{"a": 1}, {"culprit": [0, make()]}]}), "steps")
    # A ring never ends, so its path is cut short.
    assert "culprit" in message or name == "a ring"
    assert "1" in message
    before = log.path.read_bytes()
    with pytest.raises(InvalidEntryError):
        log.record("ada", "music", {"op": "x", "culprit": make()})
    assert log.path.read_bytes() == before
    making.assert_same_as_scan(log, log.path)


@pytest.mark.parametrize(
    "domain_op",
    [
        None,
        [],
        ["op"],
        "op",
        5,
        True,
        (("op", "x"),),
        ADict(op="x"),
        OrderedDict(op="x"),
        ADataclass(),
        {1: 2},
    ],
    ids=repr,
)
def test_a_domain_op_that_is_no_plain_object_is_refused(log: OpLog, domain_op: object) -> None:
    """domain_op must be a dict with string keys."""
    refuse(log, entry(1, domain_op=domain_op), "domain_op")


WRONG_FIELDS: dict[str, list[object]] = {
    "op_id": [
        *(None, 5, "", "x", b"x", uuid.uuid4(), AText(op_id(1))),
        op_id(1).upper(),
        op_id(1).replace("-", ""),
        "{" + op_id(1) + "}",
        op_id(1) + "\n",
        " " + op_id(1),
        "urn:uuid:" + op_id(1),
        NO_VERSION,
        str(uuid.UUID(int=0)),
        str(uuid.UUID(int=2**128 - 1)),
        op_id(1)[:14] + "9" + op_id(1)[15:],
        op_id(1)[:19] + "c" + op_id(1)[20:],
    ],
    "actor_id": [None, "", 5, b"ada", ["ada"], "\ud800", AText("ada"), Pitch.C4, True],
    "lamport_ts": [None, -1, 2**53, 2**63, 2**64, 1.0, 1.5, "1", True, False, AnInt(5), Velocity.LOUD, [1]],
    "parent_op_ids": [
        *(None, "", op_id(1), (op_id(1),), {op_id(1)}, {op_id(1): 1}, AList([op_id(1)])),
        *(
            [""],
            [None],
            [5],
            ["x"],
            [op_id(1).upper()],
            [NO_VERSION],
            [[op_id(1)]],
            [AText(op_id(1))],
        ),
    ],
    "domain": [None, "", 5, b"music", "\udc00", AText("music"), Pitch.C4, {}],
    "created_at": [None, 5, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b"2026", True],
    "intent_id": [None, 5, b"i", "\ud800", AText("i"), ["i"]],
    "reservation_id": [None, 5, b"r", "\ud800", AText("r"), {}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, all_ in WRONG_FIELDS.items() for value in all_])
def test_a_field_of_the_wrong_kind_is_refused_by_its_name(log: OpLog, name: str, value: object) -> None:
    """Each field takes exactly its kind, and the error says which field it was."""
    refuse(log, entry(1, **{name: value}), name)


def test_message_of_a_refusal_has_the_words_of_the_project(log: OpLog) -> None:
    """For every wrong value of every field: what it must be, not what pydantic calls it."""
    wrong = [(name, value) for name, values in WRONG_FIELDS.items() for value in values]
    for name, value in [*wrong, ("lamport_ts", -1), ("lamport_ts", 2**53)]:
        with pytest.raises(InvalidEntryError) as refused:
            log.append(entry(1, **{name: value}))
        assert not re.search(r"\b(input|string|valid|should)\b", str(refused.value), re.IGNORECASE), str(refused.value)


def test_one_text_in_the_place_of_a_list_of_parents_is_called_that(log: OpLog) -> None:
    """Not a list of its letters, of which the first is no op_id."""
    one: Any = op_id(1)
    for wrong in (
        lambda: log.record("ada", "music", {}, parent_op_ids=one),
        lambda: log.append(entry(2, parent_op_ids=one)),
    ):
        with pytest.raises(InvalidEntryError, match=f"^parent_op_ids: must be a list of op_ids, but is '{one}'$"):
            wrong()


@pytest.mark.parametrize("name", plain_scan.FIELDS)
def test_an_entry_without_one_of_its_fields_is_refused(log: OpLog, name: str) -> None:
    """All nine fields are required, and the error names the missing one."""
    made = dict(entry(1))
    del made[name]
    refuse(log, made, name)


@pytest.mark.parametrize(
    "bad",
    [None, 5, "text", [], [entry(1)], (), ADict(entry(1)), OrderedDict(entry(1)), {}],
    ids=lambda bad: type(bad).__name__,
)
def test_an_entry_that_is_no_plain_dict_is_refused(log: OpLog, bad: object) -> None:
    """Append takes a dict, nothing that resembles one."""
    refuse(log, bad)


@pytest.mark.parametrize("bad", [None, 5, entry(1), "text"], ids=lambda bad: type(bad).__name__)
def test_a_batch_that_is_no_sequence_of_entries_is_refused(repo: Path, log: OpLog, bad: Any) -> None:
    """append_many of something else raises an error of the documented kinds, and writes nothing."""
    with pytest.raises((InvalidEntryError, TypeError)):
        log.append_many(bad)
    assert making.tree(repo) == {}


def test_a_further_key_is_kept_and_checked_like_the_rest(log: OpLog) -> None:
    """An unknown top-level key survives; one that JSON can't carry is refused by its name."""
    made = entry(1, trace={"span": [1, 2.5, None]}, zz="é")
    log.append(made)
    assert exact_list(log) == [exact(made)]
    for make in (lambda: float("nan"), lambda: 2**64, lambda: (1,), lambda: "\ud800"):
        refuse(log, entry(2, trace={"span": make()}), "trace")
    refuse(log, entry(2, **{"a\ud800": 1}))
    refuse(log, {**entry(2), 5: 1})


@pytest.mark.parametrize("value", [0, 1, 2**53 - 1])
def test_the_whole_range_of_timestamps_is_taken(repo: Path, value: int) -> None:
    """0 and 2**53-1 are timestamps."""
    with OpLog(repo, "s", max_lamport_jump=None) as log:
        log.append(entry(1, lamport_ts=value))
        assert [each["lamport_ts"] for each in log] == [value]


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_an_integer_between_signed_and_unsigned_64_bits_is_exact_or_refused(log: OpLog, value: int) -> None:
    """Whichever way 64 bits are counted, the integer never comes back as something else."""
    made = entry(1, domain_op={"op": "x", "n": value})
    try:
        log.append(made)
    except InvalidEntryError:
        assert log.read_all() == []
    else:
        assert exact_list(log) == [exact(made)]


def nested(depth: int, kind: str) -> Any:
    """A value with `depth` containers inside each other."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value] if kind == "lists" else {"k": value}
    return value


@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_nesting_is_taken_up_to_an_explicit_limit(log: OpLog, kind: str) -> None:
    """Every depth is read back exactly or refused with LimitExceededError; 64 levels are always taken."""
    taken = []
    for depth in (*range(1, 64, 7), 64, *range(90, 300, 3), 400, 990, 1_000, 1_024, 2_000, 5_000):
        made = entry(depth, domain_op={"op": "x", "v": nested(depth, kind)})
        try:
            log.append(made)
            taken.append(depth)
        except LimitExceededError:
            continue
    assert 64 in taken
    assert max(taken) < 1_000, "plain json.loads gives up at about 1,000 levels"
    assert all(depth in taken for depth in range(1, 64, 7))
    making.assert_same_as_scan(log, log.path)
    assert [each["op_id"] for each in log] == [op_id(depth) for depth in taken]


@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_100_000_nested_containers_are_refused(log: OpLog, kind: str) -> None:
    """A hostile depth gives the limit's error, not a crash of the interpreter."""
    with pytest.raises(LimitExceededError):
        log.append(entry(1, domain_op={"op": "x", "v": nested(100_000, kind)}))
    assert not log.exists()


def test_a_hidden_second_reference_is_written_in_full(log: OpLog) -> None:
    """The same list at two places is no ring: both are written."""
    shared = [1, {"a": 2}]
    log.append(entry(1, domain_op={"op": "x", "one": shared, "two": shared}))
    assert log.read_all()[0]["domain_op"] == {"op": "x", "one": [1, {"a": 2}], "two": [1, {"a": 2}]}


@given(
    st.lists(
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6),
        min_size=1,
        max_size=5,
    )
)
@examples(150)
def test_guarantee_1_any_json_object_comes_back_exactly(domain_ops: list[dict[str, Any]]) -> None:
    """Whatever JSON can carry is read back equal, by the engine and by plain json, also after reopening."""
    with fresh_repo() as repo:
        made = [entry(number, domain_op=domain_op) for number, domain_op in enumerate(domain_ops, 1)]
        with OpLog(repo, "s") as log:
            log.append_many(made)
            assert exact_list(log) == exact_list(made)
        assert exact_list(plain_scan.scan(making.log_bytes(repo)).entries) == exact_list(made)
        with OpLog(repo, "s") as log:
            assert exact(log.get(op_id(1))) == exact(made[0])


@given(
    st.recursive(
        JSON | st.sampled_from(sorted(UNCARRIED)).map(lambda name: UNCARRIED[name]()),
        st.lists,
    ),
    st.sampled_from(plain_scan.FIELDS),
)
@examples(150)
def test_guarantee_1_any_value_in_any_field_is_exact_or_refused(value: object, name: str) -> None:
    """A field given any value at all is either read back exactly or refused with nothing written."""
    with fresh_repo() as repo, OpLog(repo, "s") as log:
        made = entry(1, **{name: value})
        try:
            log.append(made)
        except InvalidEntryError:
            assert making.tree(repo) == {}
        else:
            assert exact_list(plain_scan.scan(making.log_bytes(repo)).entries) == [exact(made)]
            assert exact_list(log) == [exact(made)]


@given(
    actor_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    domain=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    intent_id=st.text(st.characters(exclude_categories=["Cs"])),
    reservation_id=st.text(st.characters(exclude_categories=["Cs"])),
)
@examples(60)
def test_any_text_in_a_tag_is_stored_and_found(actor_id: str, domain: str, intent_id: str, reservation_id: str) -> None:
    """Actors, domains, intents and reservations may hold any text and are found by exactly that text."""
    with fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append(entry(1, actor_id="other", domain="another"))
        made = log.record(actor_id, domain, {}, intent_id=intent_id, reservation_id=reservation_id)
        found = log.query(actor_id=actor_id, domain=domain, reservation_id=reservation_id, intent_id=intent_id)
        assert made["op_id"] in [each["op_id"] for each in found]
        assert log.actors()[actor_id] == (2 if actor_id == "other" else 1)
        assert log.domains()[domain] == (2 if domain == "another" else 1)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("", "music", {}, 0), "actor_id"),
        (("ada", "", {}, 0), "domain"),
        (("ada", "music", [], 0), "domain_op"),
        (("ada", "music", {"a": float("nan")}, 0), "a"),
        (("ada", "music", {}, -1), "lamport_ts"),
        (("ada", "music", {}, 2**53), "lamport_ts"),
        (("ada", "music", {}, True), "lamport_ts"),
    ],
)
def test_a_wrong_argument_of_make_op_entry_or_of_append_is_refused(
    log: OpLog, arguments: tuple[Any, ...], place: str
) -> None:
    """make_op_entry may refuse at once; at the latest append does, and names the place."""
    with pytest.raises(InvalidEntryError, match=place):
        log.append(make_op_entry(*arguments))
    assert not log.exists()


def test_a_wrong_parent_in_record_is_refused(log: OpLog) -> None:
    """Parents must be canonical op_ids."""
    for parents in (["x"], [None], "abc", [op_id(1).upper()]):
        bad: Any = parents
        with pytest.raises(InvalidEntryError, match="parent_op_ids"):
            log.record("ada", "music", {}, parent_op_ids=bad)
    assert not log.exists()
