"""Spans of OpenTelemetry in JSON (OTLP/JSON), as the collector's file exporter writes them, one request a line.

A span becomes one operation:

    actor        gen_ai.agent.name, else the service.name of its resource, else "unknown"
    domain       the name of its scope, else "trace"
    operation    op: gen_ai.operation.name, else its kind ("internal", "server", "client", "producer", "consumer")
                 address: the file, route, table, queue, tool or method that it is about, else its name
                 content_summary: its name; duration_ms; status: "ok", "error" or "unset"; attributes: all of them
    created_at   when it began
    parents      its parent span, and what its links name
    intent_id    its trace

A parent may stand further down, as a span is written when it ends: then it comes first nevertheless.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from muse.ingest.draft import SURPRISES, Draft, Json, UnmappedError, unmapped

_KINDS = ("internal", "internal", "server", "client", "producer", "consumer")
_STATUS = ("unset", "ok", "error")
_ABOUT = (
    *("code.file.path", "code.filepath", "gen_ai.tool.name", "http.route", "url.path", "http.target"),
    *("db.collection.name", "db.sql.table", "messaging.destination.name", "rpc.method"),
)
"""Attributes that say what a span is about, the best first."""


class OpenTelemetry:
    """Maps one file of spans."""

    waits_for_parents = True

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()

    def drafts(self, value: Json, line: bytes) -> list[Draft | UnmappedError]:  # noqa: ARG002 - spans have their own ids
        """What one request becomes: an operation for each span."""
        requests = value.get("resourceSpans")
        if not isinstance(requests, list):
            other = next((name for name in ("resourceLogs", "resourceMetrics") if name in value), "")
            if not other:
                raise UnmappedError("resourceSpans: the field is missing")
            self.passed_over[other] += 1
            return []
        return [
            _mapped(span, _attributes(_dict(request.get("resource")).get("attributes")), _dict(part.get("scope")))
            for request in _dicts(requests)
            for part in _dicts(request.get("scopeSpans") or request.get("instrumentationLibrarySpans"))
            for span in _dicts(part.get("spans"))
        ]


def _mapped(span: Json, resource: Json, scope: Json) -> Draft | UnmappedError:
    """The draft of a span, or why it has none: the other spans of its line are there all the same."""
    try:
        return _draft(span, resource, scope)
    except SURPRISES as error:
        return unmapped(error)


def _draft(span: Json, resource: Json, scope: Json) -> Draft:
    attributes = _attributes(span.get("attributes"))
    start, end = _nanoseconds(span, "startTimeUnixNano"), _nanoseconds(span, "endTimeUnixNano")
    if not start:
        raise UnmappedError("startTimeUnixNano: the field is missing")
    name, kind = str(span.get("name", "")), _number(span.get("kind"), "SPAN_KIND_", _KINDS)
    about = next((attributes[key] for key in _ABOUT if isinstance(attributes.get(key), str)), name)
    operation = {
        "op": str(attributes.get("gen_ai.operation.name") or kind),
        "address": about,
        "content_summary": name,
        "duration_ms": round((end - start) / 1e6, 3) if end else None,
        "status": _number(_dict(span.get("status")).get("code"), "STATUS_CODE_", _STATUS),
        "attributes": attributes,
    }
    actor_id = attributes.get("gen_ai.agent.name") or resource.get("service.name") or "unknown"
    trace = str(span.get("traceId") or "").lower()
    parents = [_key(trace, span["parentSpanId"])] if span.get("parentSpanId") else []
    parents += [_key(link.get("traceId"), link.get("spanId")) for link in _dicts(span.get("links"))]
    when = datetime.fromtimestamp(start // 10**9, UTC).replace(microsecond=start % 10**9 // 1000).isoformat()
    domain = str(scope.get("name") or "trace")
    own = _key(trace, span.get("spanId"))
    return Draft(own, str(actor_id), domain, operation, when, list(dict.fromkeys(parents)), trace)


def _key(trace: Any, span: Any) -> str:
    if not isinstance(trace, str) or not isinstance(span, str) or not trace or not span:
        raise UnmappedError("traceId, spanId: a span and its links need both")
    return f"otel/{trace.lower()}/{span.lower()}"


def _nanoseconds(span: Json, name: str) -> int:
    # 64-bit integers are text in JSON as protobuf writes it.
    try:
        return int(span.get(name) or 0)
    except (TypeError, ValueError):
        raise UnmappedError(f"{name}: must be a number of nanoseconds") from None


def _number(code: Any, prefix: str, names: tuple[str, ...]) -> str:
    """The name of a code, which may be its number or its long name."""
    if isinstance(code, str):
        return code.removeprefix(prefix).lower()
    return names[code] if isinstance(code, int) and 0 <= code < len(names) else names[0]


def _dict(found: Any) -> Json:
    return found if isinstance(found, dict) else {}


def _dicts(found: Any) -> list[Json]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _attributes(found: Any) -> Json:
    return {str(each.get("key")): _value(each.get("value")) for each in _dicts(found)}


def _value(found: Any) -> Any:
    """A value as plain JSON."""
    kind, value = next(iter(_dict(found).items()), ("", None))
    if kind == "intValue":
        return int(str(value))
    if kind == "arrayValue":
        return [_value(each) for each in _dicts(_dict(value).get("values"))]
    if kind == "kvlistValue":
        return _attributes(_dict(value).get("values"))
    return value
