"""Values and bytes that several test files draw from: any JSON, foreign bytes in a log, pieces of lines."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from tests.making import entry, line, op_id


def examples(count: int) -> settings:
    """So many examples of a test, or as large a part of them as the profile at work takes of the usual hundred."""
    return settings(max_examples=max(1, count * settings().max_examples // 100))


BOM = b"\xef\xbb\xbf"
NULS = b"\x00" * 4096

FOREIGN: dict[str, bytes] = {
    "CRLF": line(entry(1)).replace(b"\n", b"\r\n") + line(entry(2)).replace(b"\n", b"\r\n"),
    "a BOM": BOM + line(entry(1)) + line(entry(2)),
    "blank lines": b"\n\n" + line(entry(1)) + b"\n \t\r\n" + line(entry(2)) + b"\n",
    "null, array, number and text lines": b"null\n[]\n" + line(entry(1)) + b"5\n" + line([entry(1)]) + b'"x"\n',
    "unknown keys": line(entry(1, v=2, tags=["a"])) + line({"first": 0, **entry(2)}),
    "other key order": line(dict(reversed(entry(1).items()))),
    "a line separator in a text": line(entry(1, domain_op={"op": "a\u2028b\u2029c\x85d\x0b\x0ce\x1c"})).replace(
        b"\\u2028", "\u2028".encode()
    ),
    "a missing field": line({key: value for key, value in entry(1).items() if key != "intent_id"}) + line(entry(2)),
    "a field of the wrong kind": line(entry(1, lamport_ts="1")) + line(entry(2, lamport_ts=2.0)) + line(entry(3)),
    "a timestamp out of range": line(entry(1, lamport_ts=2**53)) + line(entry(2, lamport_ts=-1)) + line(entry(3)),
    "an op_id that is no canonical UUID": line(entry(1, op_id="1")) + line(entry(2, op_id=op_id(2).upper())),
    "an op_id said twice": line(entry(1)) + line(entry(2)) + line(entry(1)) + line(entry(2)),
    "an op_id said twice in other spelling": line(entry(1)) + line(dict(reversed(entry(1).items()))) + line(entry(2)),
    "an op_id with two contents": line(entry(1)) + line(entry(1, actor_id="eve")) + line(entry(2)),
    "UTF-16": "".join(line(entry(n)).decode() for n in (1, 2)).encode("utf-16") + b"\n" + line(entry(3)),
    "Latin-1": line(entry(1, actor_id="X")).replace(b'"X"', b'"J\xfcrgen"') + line(entry(2)),
    "lone carriage returns": line(entry(1)).replace(b"\n", b"\r") + line(entry(2)) + line(entry(3)),
}
"""What other programs put into a log, by what it is."""

PIECES = st.lists(
    st.one_of(
        st.integers(1, 6).map(lambda number: line(entry(number))),
        st.integers(1, 6).map(lambda number: line(entry(number, actor_id="eve"))),
        st.integers(1, 6).flatmap(lambda number: st.integers(0, 200).map(lambda size: line(entry(number))[:size])),
        st.sampled_from([b"\n", b"\r\n", b" ", b"\x00", NULS, b"{", b"}", b"null\n", BOM, b"{}\n", b"\xff", b"[\n"]),
        st.binary(max_size=30),
    ),
    max_size=12,
)
"""Whole lines, torn ones and noise, in any order."""

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=25,
)
"""Any value that JSON carries exactly."""
