"""Lines that are nearly what a preset knows: whatever stands in them, they are mapped or listed, and nothing fails."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import OpLog
from muse.ingest.claude_code import ClaudeCode
from muse.ingest.codex import Codex
from muse.ingest.draft import Mapper
from muse.ingest.fields import Fields
from muse.ingest.ingestion import Ingestion
from muse.ingest.otel import OpenTelemetry
from tests.ingest.transcripts import CLAUDE_CODE, CODEX, OTEL
from tests.making import fresh_repo
from tests.samples import examples

EVENTS = [{"user": {"name": "ada"}, "at": 1772719200, "id": 1, "after": [0]}] * 3
NAMED = {"actor": ".user.name", "domain": "d", "time": ".at", "id": ".id", "parent": ".after"}
PRESETS: dict[str, tuple[Callable[[], Mapper], list[Any]]] = {
    "claude-code": (ClaudeCode, CLAUDE_CODE),
    "codex": (Codex, CODEX),
    "otel": (OpenTelemetry, OTEL),
    "fields": (lambda: Fields(NAMED), EVENTS),
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 10**18, 1e300, "", "x", "\x00", [], ["x"], [None], {}, {"x": 1}, [[{}]]]
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value: what holds it, and where in that."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


@pytest.mark.parametrize("preset", PRESETS)
@examples(25)
@given(st.data())
def test_odd_line_is_mapped_or_listed(preset: str, data: st.DataObject) -> None:
    """Three places of the file hold something else: each line is an operation, passed over, or listed."""
    make, lines = PRESETS[preset]
    odd = copy.deepcopy(lines)
    for _ in range(3):
        holder, key = data.draw(st.sampled_from(list(places(odd))))
        holder[key] = copy.deepcopy(data.draw(ODD))
    listed: list[int] = []
    with fresh_repo() as folder, OpLog(folder, "s") as log:
        ingestion = Ingestion(log, lambda _file, number, _reason: listed.append(number))
        file = ingestion.open("f", make())
        for number, line in enumerate(odd):
            ingestion.take(file, number, json.dumps(line).encode())
        ingestion.end_waiting(file)
        ingestion.flush()
        assert ingestion.added == len(log)
        assert len(listed) == ingestion.unmapped
