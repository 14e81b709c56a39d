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
from collections.abc import Callable
from typing import Any

import orjson

from muse.ingest.draft import Draft, Json, UnmappedError, content, deletion, insertion, replacement, summary, text_of
from muse.ingest.line_keys import LineKeys
from muse.ingest.transcript import Call, Part, Transcript, chain, result

_PASSED_OVER = ("event_msg", "turn_context", "compacted")
_ACTORS = {"user": "user", "assistant": "codex"}
_FILE_IN_PATCH = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$", re.MULTILINE)
_EXIT_CODE = re.compile(r"^(?:Exit code:|Process exited with code) (-?\d+)", re.MULTILINE)


class Codex(Transcript):
    """Maps one rollout."""

    def __init__(self) -> None:
        super().__init__()
        self._keys = LineKeys("codex")
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
            parts = [Part("codex", "chat", {"op": "start", "address": str(payload.get("cwd", "")), **version})]
        elif kind == "response_item":
            inner = text_of(payload, "type")
            handle = _ITEMS.get(inner)
            if handle is None:
                self.passed_over[f"response_item {inner}"] += 1
                return []
            parts = handle(self, payload, key)
        else:
            raise UnmappedError(f"type: {kind[:40]!r} is not known")
        made = chain(key, parts, self._last, time, self._session)
        self._last = [made[-1].key]
        return made

    def _message(self, payload: Json, _key: str) -> list[Part]:
        actor_id = _ACTORS.get(str(payload.get("role")), "system")
        return [Part(actor_id, "chat", {"op": "say", **content(_plain(payload.get("content")))})]

    def _reasoning(self, payload: Json, _key: str) -> list[Part]:
        return [Part("codex", "chat", {"op": "think", **content(_plain(payload.get("summary")))})]

    def _call(self, payload: Json, key: str) -> list[Part]:
        tool = str(payload.get("name") or payload.get("type"))
        text = _command(payload.get("arguments", payload.get("input", payload.get("action"))))
        patched = [path for _, path in _FILE_IN_PATCH.findall(text)]
        call = Call(key, "codex", tool, summary(", ".join(patched) or text or tool), text)
        return [self._begin(payload.get("call_id") or payload.get("id"), call, f"{tool}: {text}")]

    def _output(self, payload: Json, _key: str) -> list[Part]:
        call = self._end(payload.get("call_id"))
        text, failed = _outcome(payload.get("output"))
        edits = _edits(call.given) if call and not failed else []
        if call and edits:
            return [Part(call.actor_id, "code", edit, [call.key]) for edit in edits]
        return [result(call, text, failed=failed)]


_ITEMS: dict[str, Callable[[Codex, Json, str], list[Part]]] = {
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
    given = given if (found := _object(given)) is None else found
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
        if how == "Update":
            made.append(replacement(address, old, new))
        else:
            made.append(insertion(address, new) if how == "Add" else deletion(address, old))
    return made


def _outcome(output: Any) -> tuple[str, bool]:
    """The text of an output, and whether the tool failed."""
    found = _object(output)
    text = _plain(output if found is None else found)
    metadata = found.get("metadata") if found else None
    if isinstance(metadata, dict) and "exit_code" in metadata:
        return text, metadata["exit_code"] != 0
    # What the tool itself has printed may speak of exit codes as well.
    code = _EXIT_CODE.search(text[:2000].partition("Output:\n")[0])
    return text, text.startswith("apply_patch verification failed") or (code is not None and code[1] != "0")


def _object(text: Any) -> Json | None:
    """The JSON object that a text is; None if it is none."""
    if isinstance(text, str) and text.startswith("{"):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, dict) else None
    return text if isinstance(text, dict) else None


def _plain(found: Any) -> str:
    """The text of a content or an output, which may be a list of parts."""
    if isinstance(found, dict):
        found = found.get("output", found.get("content"))
    if isinstance(found, list):
        return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in found if isinstance(part, dict))
    return found if isinstance(found, str) else ""
