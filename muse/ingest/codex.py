"""Rollouts of OpenAI Codex: `~/.codex/sessions/**/rollout-*.jsonl`, lines with timestamp, type and payload.

    what it is                   actor      domain   operation
    the session begins           codex      chat     start; address: the folder
    a message                    user, codex, system (also "developer")   chat   say
    reasoning                    codex      chat     think
    a tool call                  codex      tools    call; address: the command or the name; tool: the name
    its output                   tools      tools    result; is_error if it failed
    a patch that succeeded       codex      code     insert, replace or delete for each file; address: the file

Lines have no ids. Their keys are made of the session's id and the line itself; a line depends on the one before it, an
output on its call. `intent_id` is the session. What event_msg says stands in response_item as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from muse.ingest.draft import Draft, Json, UnmappedError, content, deletion, insertion, replacement, summary, text_of
from muse.ingest.line_keys import LineKeys

_PASSED_OVER = ("event_msg", "turn_context", "compacted")
_ACTORS = {"user": "user", "assistant": "codex"}
_FILE_IN_PATCH = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$", re.MULTILINE)
_EXIT_CODE = re.compile(r'(?:[Ee]xit code: |"exit_code": ?|exited with code )(-?\d+)')


_Part = tuple[str, str, Json]
"""(actor, domain, operation)."""

_Found = tuple[list[_Part], list[str]]
"""The operations of a line, and the keys that the first depends on beside the operation before it."""


@dataclass(slots=True)
class _Call:
    """A tool call that waits for its output."""

    key: str
    tool: str
    text: str
    address: str


class Codex:
    """Maps one rollout."""

    waits_for_parents = False

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()
        self._keys = LineKeys("codex")
        self._calls: dict[str, _Call] = {}
        self._last: list[str] = []
        """The key of the last operation."""
        self._session = ""

    def drafts(self, value: Json, line: bytes) -> list[Draft]:
        """What one line becomes."""
        kind, payload = text_of(value, "type"), value.get("payload")
        if not isinstance(payload, dict):
            raise UnmappedError("payload: the field is missing")
        if kind == "session_meta" and not self._session:
            self._session = self._keys.scope = str(payload.get("id") or "")
        key, time = self._keys.next(line), text_of(value, "timestamp")
        if kind in _PASSED_OVER:
            self.passed_over[kind] += 1
            return []
        if kind == "session_meta":
            version = content(str(payload.get("cli_version", "")))
            found: list[_Part] = [("codex", "chat", {"op": "start", "address": str(payload.get("cwd", "")), **version})]
            after: list[str] = []
        elif kind == "response_item":
            inner = text_of(payload, "type")
            handle = _ITEMS.get(inner)
            if handle is None:
                self.passed_over[f"response_item {inner}"] += 1
                return []
            found, after = handle(self, payload, key)
        else:
            raise UnmappedError(f"type: {kind[:40]!r} is not known")
        made: list[Draft] = []
        for actor_id, domain, operation in found:
            own = f"{key}/{len(made)}" if made else key
            parents = [*self._last, *(each for each in after if each not in self._last)]
            made.append(Draft(own, actor_id, domain, operation, time, parents, self._session))
            self._last = [own]
        return made

    def _message(self, payload: Json, _key: str) -> _Found:
        actor_id = _ACTORS.get(str(payload.get("role")), "system")
        return [(actor_id, "chat", {"op": "say", **content(_plain(payload.get("content")))})], []

    def _reasoning(self, payload: Json, _key: str) -> _Found:
        return [("codex", "chat", {"op": "think", **content(_plain(payload.get("summary")))})], []

    def _call(self, payload: Json, key: str) -> _Found:
        tool = str(payload.get("name") or payload.get("type"))
        given = payload.get("arguments", payload.get("input", payload.get("action")))
        text = _command(given)
        patched = [path for _, path in _FILE_IN_PATCH.findall(text)]
        address = summary(", ".join(patched) or text or tool)
        self._calls[str(payload.get("call_id") or payload.get("id"))] = _Call(key, tool, text, address)
        operation = {"op": "call", "address": address, "tool": tool, "content_summary": summary(f"{tool}: {text}")}
        return [("codex", "tools", operation)], []

    def _output(self, payload: Json, _key: str) -> _Found:
        call = self._calls.pop(str(payload.get("call_id")), None)
        text = _plain(payload.get("output"))
        code = _EXIT_CODE.search(text[:2000])
        failed = text.startswith("apply_patch verification failed") or (code is not None and code[1] != "0")
        if call is None:
            return [("tools", "tools", {"op": "result", "is_error": failed, **content(text)})], []
        edits = [] if failed else _edits(call.text)
        if edits:
            return [("codex", "code", edit) for edit in edits], [call.key]
        result = {"op": "result", "address": call.address, "tool": call.tool, "is_error": failed, **content(text)}
        return [("tools", "tools", result)], [call.key]


_ITEMS: dict[str, Callable[[Codex, Json, str], _Found]] = {
    "message": Codex._message,  # noqa: SLF001 - of this module
    "reasoning": Codex._reasoning,  # noqa: SLF001
    "function_call": Codex._call,  # noqa: SLF001
    "custom_tool_call": Codex._call,  # noqa: SLF001
    "local_shell_call": Codex._call,  # noqa: SLF001
    "web_search_call": Codex._call,  # noqa: SLF001
    "function_call_output": Codex._output,  # noqa: SLF001
    "custom_tool_call_output": Codex._output,  # noqa: SLF001
}


def _command(given: Any) -> str:
    """What a call does, as text: the command of a shell, the input of another tool."""
    if isinstance(given, str) and given.startswith("{"):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            return str(given)
    if isinstance(given, dict):
        given = next((given[name] for name in ("command", "cmd", "input", "query", "path") if name in given), given)
    if isinstance(given, list):
        words = list(map(str, given))
        return words[-1] if len(words) == 3 and words[1].startswith("-") and words[1].endswith("c") else " ".join(words)
    if isinstance(given, str):
        return given
    return str(orjson.dumps(given), "utf-8") if given else ""


def _edits(text: str) -> list[Json]:
    """What a patch does to each of its files."""
    if "*** Begin Patch" not in text:
        return []
    parts = _FILE_IN_PATCH.split(text.partition("*** End Patch")[0])[1:]
    made = []
    for how, path, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        lines = body.splitlines()
        old = "\n".join(line[1:] for line in lines if line.startswith("-"))
        new = "\n".join(line[1:] for line in lines if line.startswith("+"))
        address = path.strip()
        made.append(
            insertion(address, new)
            if how == "Add"
            else deletion(address, old)
            if how == "Delete"
            else replacement(address, old, new)
        )
    return made


def _plain(found: Any) -> str:
    """The text of a content, or of an output, which may be text, JSON in a text, or a list of parts."""
    if isinstance(found, dict):
        found = found.get("content", found.get("output"))
    if isinstance(found, list):
        return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in found if isinstance(part, dict))
    return found if isinstance(found, str) else ""
