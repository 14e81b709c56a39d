"""Small files in the form of each preset, written for the tests."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

ROOT = "/home/ada/shop"


def uid(number: int) -> str:
    """The uuid of a line."""
    return str(uuid.UUID(int=number, version=4))


def write(path: Path, *lines: Any) -> Path:
    """Write JSON lines as a program in JavaScript, Rust or Go does; a text is written as it is."""
    text = (each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in lines)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return path


def at(seconds: int) -> str:
    """A moment of the afternoon, as Claude Code and Codex write it."""
    return f"2026-03-05T14:{seconds // 60:02}:{seconds % 60:02}.250Z"


def claude(number: int, parent: int | None, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A line of a transcript of Claude Code."""
    return {
        "parentUuid": uid(parent) if parent else None,
        "isSidechain": False,
        "userType": "external",
        "cwd": ROOT,
        "sessionId": uid(900),
        "version": "2.1.12",
        "gitBranch": "main",
        "type": kind,
        "message": {"role": kind, "content": content},
        "uuid": uid(number),
        "timestamp": at(number),
        **more,
    }


def tool_use(name: str, number: int, **given: Any) -> list[dict[str, Any]]:
    """The content of a line by which a tool is called."""
    return [{"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}]


def tool_result(number: int, text: Any, **more: Any) -> list[dict[str, Any]]:
    """The content of a line by which a call is answered."""
    return [{"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": text, **more}]


BASKET, TEST = f"{ROOT}/src/basket.py", f"{ROOT}/src/test_basket.py"

CLAUDE_CODE: list[Any] = [
    {"type": "summary", "summary": "The basket", "leafUuid": uid(14)},
    claude(1, None, "user", "Please fix the total of the basket"),
    claude(2, 1, "assistant", [{"type": "thinking", "thinking": "Where is it?", "signature": "x"}]),
    claude(
        3,
        2,
        "assistant",
        [{"type": "text", "text": "I'll read it first."}, *tool_use("Read", 3, file_path=BASKET)],
    ),
    claude(4, 3, "user", tool_result(3, "     1→total = 1"), toolUseResult={"type": "text"}),
    {"type": "progress", "uuid": uid(5), "parentUuid": uid(4), "timestamp": at(5), "data": {}},
    claude(6, 5, "assistant", tool_use("Edit", 6, file_path=BASKET, old_string="total = 1", new_string="total = 2")),
    claude(7, 6, "user", tool_result(6, "The file has been updated."), toolUseResult={"filePath": BASKET}),
    claude(
        8, 7, "assistant", tool_use("Write", 8, file_path=f"{ROOT}/src/test_basket.py", content="assert total == 2")
    ),
    claude(9, 8, "user", tool_result(8, "File created"), toolUseResult={"type": "create"}),
    claude(10, 9, "assistant", tool_use("Edit", 10, file_path="/etc/hosts", old_string="a", new_string="b")),
    claude(11, 10, "user", tool_result(10, "Permission denied", is_error=True)),
    claude(12, 11, "assistant", tool_use("Bash", 12, command="pytest -q", description="Run the tests")),
    claude(13, 12, "user", tool_result(12, [{"type": "text", "text": "1 passed"}], is_error=False)),
    claude(14, 13, "assistant", "Done."),
    claude(15, None, "user", "Look into prices", isSidechain=True, agentId="a17"),
    claude(16, 15, "assistant", tool_use("Grep", 16, pattern="price"), isSidechain=True, agentId="a17"),
    claude(17, 16, "user", tool_result(16, "3 files"), isSidechain=True, agentId="a17"),
    {**claude(18, 14, "system", ""), "subtype": "turn_duration", "content": "Cooked for 9 s"},
    claude(19, 18, "user", "<local-command>", isMeta=True),
]
"""A short afternoon: a reading, two edits that worked and one that did not, a test, an agent."""

SESSION = "019a2d7a-41c4-78b1-b7cc-a45d62a89cd5"
PATCH = """*** Begin Patch
*** Update File: src/basket.py
@@
-total = 1
+total = 2
*** Add File: src/test_basket.py
+assert total == 2
*** Delete File: src/old.py
*** End Patch"""


def codex(seconds: int, kind: str, **payload: Any) -> dict[str, Any]:
    """A line of a rollout of Codex."""
    return {"timestamp": at(seconds), "type": kind, "payload": payload}


def item(seconds: int, kind: str, **payload: Any) -> dict[str, Any]:
    """A response item."""
    return codex(seconds, "response_item", type=kind, **payload)


def said(role: str, text: str) -> dict[str, Any]:
    """The fields of a message."""
    return {"role": role, "content": [{"type": "input_text" if role == "user" else "output_text", "text": text}]}


CODEX: list[Any] = [
    codex(0, "session_meta", id=SESSION, cwd=ROOT, cli_version="0.65.0", timestamp=at(0), source="cli"),
    item(1, "message", **said("developer", "Be brief")),
    item(2, "message", **said("user", "Please fix the total of the basket")),
    codex(2, "event_msg", type="user_message", message="Please fix the total of the basket"),
    codex(2, "turn_context", cwd=ROOT, model="gpt-5-codex"),
    item(3, "reasoning", summary=[{"type": "summary_text", "text": "Look first"}], encrypted_content="x"),
    item(4, "function_call", name="shell", call_id="c1", arguments='{"command":["bash","-lc","cat src/basket.py"]}'),
    item(5, "function_call_output", call_id="c1", output='{"output":"total = 1","metadata":{"exit_code":0}}'),
    item(6, "custom_tool_call", name="apply_patch", call_id="c2", input=PATCH, status="completed"),
    item(7, "custom_tool_call_output", call_id="c2", output="Exit code: 0\nOutput:\nSuccess."),
    item(8, "custom_tool_call", name="apply_patch", call_id="c3", input=PATCH, status="completed"),
    item(9, "custom_tool_call_output", call_id="c3", output="apply_patch verification failed: no such line"),
    item(10, "function_call", name="exec_command", call_id="c4", arguments='{"cmd":"pytest -q","workdir":"/"}'),
    item(11, "function_call_output", call_id="c4", output="Process exited with code 1\nOutput:\n1 failed"),
    item(12, "message", **said("assistant", "Done.")),
    item(12, "message", **said("assistant", "Done.")),
    item(13, "ghost_snapshot", ghost_commit={"id": "x"}),
]

TRACE = "5B8EFFF798038103D269B633813FC60C"


def span(number: int, parent: int | None, name: str, start_ms: int, end_ms: int, **more: Any) -> dict[str, Any]:
    """A span of the collector's JSON; times are milliseconds of one second."""
    attributes = [{"key": key, "value": value} for key, value in more.pop("attributes", {}).items()]
    return {
        "traceId": TRACE,
        "spanId": f"EEE19B7EC3C1B1{number:02X}",
        "parentSpanId": f"EEE19B7EC3C1B1{parent:02X}" if parent else "",
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(1772719200_000000000 + start_ms * 10**6),
        "endTimeUnixNano": str(1772719200_000000000 + end_ms * 10**6),
        "attributes": attributes,
        **more,
    }


def request(*spans: Any, service: str = "shop", scope: str = "shop.web") -> dict[str, Any]:
    """A line of the collector's file exporter."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }


TABLE = {"stringValue": "baskets"}
LINK = {"traceId": TRACE, "spanId": "EEE19B7EC3C1B103"}

OTEL: list[Any] = [
    request(
        span(
            3,
            2,
            "SELECT baskets",
            3,
            5,
            kind="SPAN_KIND_CLIENT",
            attributes={"db.sql.table": {"stringValue": "baskets"}},
        ),
        scope="shop.db",
    ),
    request(
        span(
            2,
            1,
            "GET /basket",
            1,
            8,
            attributes={
                "http.route": {"stringValue": "/basket"},
                "http.status_code": {"intValue": "200"},
                "tags": {"arrayValue": {"values": [{"stringValue": "a"}, {"boolValue": True}]}},
                "user": {"kvlistValue": {"values": [{"key": "name", "value": {"stringValue": "ada"}}]}},
            },
        ),
        span(
            4,
            1,
            "execute_tool total",
            8,
            9,
            status={"code": 2},
            links=[{"traceId": TRACE, "spanId": "EEE19B7EC3C1B103"}],
        ),
    ),
    {"resourceLogs": []},
    request(span(1, None, "agent", 0, 10, kind=1, attributes={"gen_ai.agent.name": {"stringValue": "till"}})),
]
"""Children first, as they end first."""
