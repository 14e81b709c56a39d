"""Transcripts of Claude Code: `~/.claude/projects/*/*.jsonl`.

Each text, thought and tool call of a line becomes an operation, in the order of the line:

    what it is                   actor                domain   operation
    a person's text              user                 chat     say
    Claude's text, thought       claude               chat     say, think
    a tool call                  claude               tools    call; address: what it is about; tool: its name
    its result                   tools                tools    result; is_error if it failed
    the result of an edit        claude               code     insert, replace, delete or patch; address: the file
    a line of the program        system               chat     its subtype

In a sidechain the actor is `claude/<agent>`, and what is said to the agent is said by `claude`. Of texts the log gets a
summary and a SHA-256, of files the path below the folder in which the transcript began. `intent_id` is the session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muse.ingest.draft import Draft, Json, UnmappedError, content, deletion, insertion, replacement, summary, text_of
from muse.ingest.transcript import Call, Part, Transcript, chain, result

_CONVERSATION = ("user", "assistant", "system")
_PASSED_OVER = frozenset(
    {
        *("agent-name", "ai-title", "attachment", "custom-title", "file-history-snapshot", "last-prompt", "mode"),
        *("permission-mode", "pr-link", "progress", "queue-operation", "saved_hook_context", "summary", "tag"),
    }
)
"""Types that say nothing about what was done."""
_ABOUT = ("file_path", "notebook_path", "path", "pattern", "url", "query", "command", "description", "prompt")
"""Fields of a tool's input that say what the call is about, the best first."""
_TELLING = ("description", "command", "prompt", "query")
_EDITS = ("Write", "Edit", "MultiEdit", "NotebookEdit")


class ClaudeCode(Transcript):
    """Maps one transcript."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, list[str]] = {}
        """By a line's uuid, the keys that stand for it as a parent."""
        self._root = ""

    def drafts(self, value: Json, line: bytes) -> list[Draft]:  # noqa: ARG002 - a line has its own uuid
        """What one line becomes."""
        kind = text_of(value, "type")
        uuid, parent = value.get("uuid"), value.get("parentUuid") or value.get("logicalParentUuid")
        parents = self._last.get(parent, [f"claude-code/{parent}"]) if isinstance(parent, str) else []
        if kind not in _CONVERSATION:
            if kind not in _PASSED_OVER:
                raise UnmappedError(f"type: {kind[:40]!r} is not known")
            if isinstance(uuid, str):
                # What follows it follows what it followed.
                self._last[uuid] = parents
            self.passed_over[kind] += 1
            return []
        key = f"claude-code/{text_of(value, 'uuid')}"
        time, session = text_of(value, "timestamp"), value.get("sessionId")
        self._root = self._root or str(value.get("cwd") or "")
        intent_id = session if isinstance(session, str) else ""
        made = chain(key, self._parts(kind, value, key), parents, time, intent_id)
        self._last[uuid] = [made[-1].key] if made else parents  # type: ignore[index] # text, as it became a key
        return made

    def _parts(self, kind: str, value: Json, key: str) -> Iterator[Part]:
        agent = f"claude/{value.get('agentId') or 'sidechain'}" if value.get("isSidechain") else "claude"
        if kind == "system":
            subtype = value.get("subtype")
            what = {"op": subtype if isinstance(subtype, str) else "system", **content(_plain(value.get("content")))}
            yield Part("system", "chat", what)
            return
        message = value.get("message")
        if not isinstance(message, dict):
            raise UnmappedError("message: the field is missing")
        asking = "system" if value.get("isMeta") else "claude" if value.get("isSidechain") else "user"
        actor_id = agent if kind == "assistant" else asking
        for number, block in enumerate(_blocks(message.get("content"))):
            if block.get("type") == "tool_use":
                yield self._call(block, f"{key}/{number}" if number else key, agent)
            elif block.get("type") == "tool_result":
                yield self._result(block, value.get("toolUseResult"))
            else:
                op = "think" if block.get("type") in ("thinking", "redacted_thinking") else "say"
                yield Part(actor_id, "chat", {"op": op, **content(_plain([block]))})

    def _call(self, block: Json, key: str, actor_id: str) -> Part:
        given = block.get("input")
        given = given if isinstance(given, dict) else {}
        tool = str(block.get("name"))
        address = self._below_root(next((given[name] for name in _ABOUT if isinstance(given.get(name), str)), tool))
        told = next((f"{tool}: {given[name]}" for name in _TELLING if isinstance(given.get(name), str)), tool)
        return self._begin(block.get("id"), Call(key, actor_id, tool, address, given), told)

    def _result(self, block: Json, told: Any) -> Part:
        call, failed = self._end(block.get("tool_use_id")), bool(block.get("is_error"))
        if call is not None and call.tool in _EDITS and not failed:
            return Part(call.actor_id, "code", _edit(call, told if isinstance(told, dict) else {}), [call.key])
        return result(call, _plain(block.get("content")), failed=failed)

    def _below_root(self, about: str) -> str:
        """A path as seen from where the transcript began; anything else on one line."""
        root = f"{self._root.rstrip('/')}/" if self._root else ""
        return about.removeprefix(root) if root and about.startswith(root) else summary(about)


def _edit(call: Call, told: Json) -> Json:
    """What an edit that succeeded did; `told` is what the program noted about it."""
    given, address = call.given, call.address
    if call.tool == "Write":
        new, old = str(given.get("content", "")), told.get("originalFile")
        if told.get("type") == "update":
            return replacement(address, old if isinstance(old, str) else "", new)
        return insertion(address, new)
    if call.tool == "MultiEdit":
        edits = [edit for edit in given.get("edits") or [] if isinstance(edit, dict)]
        inner = [replacement(address, str(each.get("old_string")), str(each.get("new_string"))) for each in edits]
        what = f"{len(inner)} edits"
        return {"op": "patch", "address": address, "child_ops": inner, "child_domain": "code", "child_summary": what}
    if call.tool == "NotebookEdit":
        cell, source = f"{address}#{given.get('cell_id', '')}", str(given.get("new_source", ""))
        made = {"insert": insertion, "delete": deletion}.get(str(given.get("edit_mode")))
        return made(cell, source) if made else replacement(cell, "", source)
    return replacement(address, str(given.get("old_string", "")), str(given.get("new_string", "")))


def _blocks(found: Any) -> list[Json]:
    if isinstance(found, str):
        return [{"type": "text", "text": found}]
    return [block for block in found if isinstance(block, dict)] if isinstance(found, list) else []


def _plain(found: Any) -> str:
    """The text of a content, whose parts may be texts, thoughts or pictures."""
    parts = (block.get("text", block.get("thinking", f"[{block.get('type')}]")) for block in _blocks(found))
    return "\n".join(map(str, parts))
