"""The tools as an MCP server over standard input and output; the only module that imports the official SDK, `mcp`.

An error of the engine is a tool error with the engine's message, which the model reads; the server goes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from muse.core.op_log import MuseError
from muse.mcp.tools import Tools

_INSTRUCTIONS = """\
An op log holds every operation of a session that agents and people work in at once. Record what you do with `record`,
and name in parent_op_ids what you had seen of it. Before you change something, `blame` and `query` tell who touched it;
`wait` tells what others do meanwhile; `conflicts` shows what was changed by two that did not know of each other."""


class _Server(MCPServer[Any]):
    """Refuses arguments that no tool has: the SDK drops them, and a filter with a slip would let everything pass."""

    async def call_tool(self, name: str, arguments: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Call a tool, or raise the `ToolError` that the client is told."""
        for tool in await self.list_tools():
            known = tool.input_schema["properties"]
            if tool.name == name and (unknown := arguments.keys() - known.keys()):
                raise ToolError(f"{', '.join(sorted(unknown))}: {name} has no such argument, only {', '.join(known)}")
        return await super().call_tool(name, arguments, *more, **named)


def make_server(tools: Tools, *, may_record: bool, may_commit: bool) -> MCPServer[Any]:
    """The server, with the tools for reading and those that the owner allows."""
    server = _Server("muse-op-log", instructions=_INSTRUCTIONS, log_level="WARNING")
    reading: tuple[Callable[..., Any], ...] = (
        tools.list_sessions,
        tools.query,
        tools.history,
        tools.children,
        tools.blame,
        tools.conflicts,
        tools.wait,
    )
    for tool in reading:
        server.add_tool(_told(tool), annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    writing: dict[Callable[..., Any], bool] = {tools.record: may_record, tools.commit: may_commit}
    for tool in (tool for tool, is_allowed in writing.items() if is_allowed):
        hints = ToolAnnotations(read_only_hint=False, destructive_hint=False)
        server.add_tool(_told(tool), annotations=hints, structured_output=False)
    return server


def _told(tool: Callable[..., Any]) -> Callable[..., Any]:
    """The tool, whose errors tell the client what the engine says."""
    if not inspect.iscoroutinefunction(tool):
        return _telling()(tool)

    @wraps(tool)
    async def waits(*arguments: Any, **named: Any) -> Any:
        with _telling():
            return await tool(*arguments, **named)

    return waits


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except (MuseError, OSError) as error:
        raise ToolError(str(error)) from error
