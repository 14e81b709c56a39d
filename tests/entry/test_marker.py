"""The marker of a redaction: it fits any room, says what there is room for, and is known in any spelling."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.codec import decode_line, encode_entry
from muse.core.entry.marker import Redaction, is_redacted, marker, rank, redacted_in, span_of_operation
from tests import making, samples

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
redactions = st.builds(Redaction, texts, st.just("2026-05-03T10:00:00+00:00"), texts)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spelled_lines(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A valid line as some program may write it, and what it says: keys in any order, further ones, spaces, escapes."""
    entry: dict[str, Any] = {**making.entry(1), "domain_op": draw(st.dictionaries(texts, values, max_size=4))}
    entry |= draw(st.dictionaries(texts.filter(lambda key: key not in entry), values, max_size=2))
    entry = dict(draw(st.permutations(list(entry.items()))))
    text = json.dumps(
        entry, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " :  ")]))
    )
    if draw(st.booleans()):
        text = (
            text.replace('"domain_op"', '"domain\\u005fop"', 1)
            if '"domain_op' not in text[text.index('"domain_op"') + 1 :]
            else text
        )
    start = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b" \t"]))
    return start + text.encode() + draw(st.sampled_from([b"\n", b" \r\n"])), entry


@samples.examples(200)
@given(spelled_lines())
def test_span_of_the_operation_is_that_of_its_value_in_any_spelling(given_line: tuple[bytes, dict[str, Any]]) -> None:
    """Cut out of the line it parses to the operation, and with another one in its place only that differs."""
    line, entry = given_line
    start, end = span_of_operation(line)

    assert json.loads(line[start:end]) == entry["domain_op"]
    other = decode_line(line[:start] + b'{"x":1}' + line[end:])
    assert other == {**entry, "domain_op": {"x": 1}}


@samples.examples(200)
@given(spelled_lines(), redactions)
def test_a_marker_in_place_of_any_operation_makes_a_line_of_the_same_length_that_is_known_as_redacted(
    given_line: tuple[bytes, dict[str, Any]], said: Redaction
) -> None:
    """The other fields stay; who, when and why are beginnings of what was given, or left out."""
    line, entry = given_line
    start, end = span_of_operation(line)
    after = line[:start] + marker(said, end - start) + line[end:]

    read = decode_line(after)
    assert len(after) == len(line)
    assert read == {**entry, "domain_op": read["domain_op"] if read else None}
    found = redacted_in(after)
    # Of two bytes there is nothing to say, and nothing to hide.
    assert (found is not None) is (end - start > 2)
    assert is_redacted(read)
    for text, whole in zip(found or (), said, strict=False):
        assert whole.startswith(text.removesuffix("…")) or text == whole


@samples.examples(100)
@given(redactions, st.integers(2, 400))
def test_a_marker_says_more_the_more_room_there_is(said: Redaction, length: int) -> None:
    """It has exactly the length; in enough room all is said; the time goes last, before the kind."""
    found = marker(said, length)
    read = json.loads(found)

    assert len(found) == length
    whole = json.dumps({"op": "redacted", **said._asdict()}, ensure_ascii=False, separators=(",", ":")).encode()
    if length >= len(whole.replace(b"\x7f", b"\\u007f")) + 6 * 120:
        assert read == {"op": "redacted", **said._asdict()}
    if length >= 17:
        assert read["op"] == "redacted"
    else:
        assert read == {}
    assert set(read) in ({"op", "by", "at", "why"}, {"op", "by", "at"}, {"op", "at"}, {"op"}, set())


def test_a_line_that_only_looks_like_a_marker_is_none() -> None:
    """Another key, a value that is no text, or an empty operation that nobody has overwritten."""
    for domain_op in (
        {"op": "redacted", "address": "a"},
        {"op": "redacted", "by": 3},
        {"op": "redacted", "why": "x" * 5000},
        {"kind": "redacted"},
        {},
    ):
        line = encode_entry(making.entry(1, domain_op=domain_op), 1 << 20)
        assert redacted_in(line) is None
    spelled = making.line(making.entry(1, domain_op={"op": "redacted", "by": "ada"})).replace(
        b"redacted", b"red\\u0061cted"
    )
    assert redacted_in(spelled) == Redaction(by="ada")


def test_the_earlier_redaction_is_kept_and_of_one_time_the_fuller() -> None:
    """So all replicas choose the same."""
    early, late = Redaction("bob", "2026-01-01", "b"), Redaction("ada", "2026-01-02", "a")
    assert min(late, early, key=rank) == early
    assert min(Redaction(at="2026-01-01"), early, Redaction(), key=rank) == early
