"""Applying operations to empty documents: the independent answer to what edits amount to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def play(ops: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The summaries of what stands at each address after all operations, in order."""
    content: dict[str, list[str]] = {}
    for op in ops:
        _apply(content.setdefault(op["address"], []), op)
    return content


def _apply(items: list[str], op: dict[str, Any]) -> None:
    match op["op"]:
        case "insert":
            assert op["position"] <= len(items)
            items.insert(op["position"], op["content_summary"])
        case "delete":
            assert items.pop(op["position"]) == op["content_summary"]
        case "move":
            items.insert(op["to_position"], items.pop(op["from_position"]))
        case "replace" | "mutate":
            assert items[op["position"]] == op["old_summary"]
            items[op["position"]] = op["new_summary"]
        case "patch":
            for child in op["child_ops"]:
                assert child["address"] == op["address"]
                _apply(items, child)
        case kind:
            raise AssertionError(kind)
