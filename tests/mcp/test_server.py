"""`muse op-log mcp`, with the client of the official SDK, over standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.cli.running import command_line
from tests.making import entry

pytestmark = pytest.mark.process

Call = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def _sdk() -> None:
    """The SDK is there, or the test is skipped. Imported here, as it takes long, and not each worker needs it."""
    pytest.importorskip("mcp.server.mcpserver", reason="needs the package mcp, version 2 or later")


class ToolFailed(Exception):  # noqa: N818 - the tool's verdict, not a failure of the test
    """What the server says of a call that failed."""


@asynccontextmanager
async def agent(repo: Path, *options: str) -> AsyncIterator[Call]:
    """A client with a server of its own; calls a tool by name, and gives the parsed answer."""
    from mcp import Client, StdioServerParameters

    arguments = ["-m", "muse", "op-log", "mcp", "--repo", str(repo), *options]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
    async with Client(server, read_timeout_seconds=60) as client:

        async def call(tool: str, **named: Any) -> Any:
            if tool == "tools":
                return {each.name: each for each in (await client.list_tools()).tools}
            result = await client.call_tool(tool, named)
            text = "".join(getattr(part, "text", "") for part in result.content)
            if result.is_error:
                raise ToolFailed(text)
            return json.loads(text)

        yield call


def test_an_agent_works_in_its_loop(repo: Path) -> None:
    """Record, see another actor's operation arrive, blame it, answer it: all of it is in the log, linked."""

    async def work() -> dict[str, Any]:
        with OpLog(repo, "s") as log:
            async with agent(repo, "--session", "s", "--actor", "ada") as call:
                mine = await call("record", session="s", domain="code", op={"op": "insert", "address": "app.py"})
                waiting = asyncio.ensure_future(call("wait", session="s", since=mine["op_id"], not_actor_id=["ada"]))
                other = await asyncio.to_thread(log.record, "bob", "code", {"op": "replace", "address": "app.py"})
                arrived = await waiting
                assert [each["op_id"] for each in arrived["entries"]] == [other["op_id"]]
                assert arrived["resume_since"] == other["op_id"]
                blamed = await call("blame", session="s", address="app.py")
                assert [(each["actor_id"], each["ops"]) for each in blamed["actors"]] == [("bob", 1), ("ada", 1)]
                (contested,) = (await call("conflicts", session="s"))["conflicts"]
                assert contested["last_op_ids"] == [mine["op_id"], other["op_id"]]
                same = {
                    "session": "s",
                    "domain": "code",
                    "op": {"op": "replace", "address": "app.py", "content_summary": "both"},
                    "parent_op_ids": contested["last_op_ids"],
                    "key": "answer",
                }
                answer, again = await call("record", **same), await call("record", **same)
                assert again == answer
                past = await call("history", session="s", op_id=answer["op_id"])
                assert [each["op_id"] for each in past["entries"]] == [answer["op_id"], mine["op_id"], other["op_id"]]
                after = await call("children", session="s", op_id=mine["op_id"])
                assert [each["op_id"] for each in after["entries"]] == [answer["op_id"]]
                found = await call("query", session="s", where={"content_summary": "both"})
                assert found["entries"] == [log.get(answer["op_id"])]
                (listed,) = (await call("list_sessions"))["sessions"]
                return dict(listed)

    listed = asyncio.run(work())
    assert (listed["session"], listed["ops"], listed["actors"]) == ("s", 3, {"ada": 2, "bob": 1})
    with OpLog(repo, "s") as log:
        assert [each["actor_id"] for each in log] == ["ada", "bob", "ada"]


def test_the_owner_says_what_may_be_done(repo: Path) -> None:
    """No tool destroys; recording and committing are there only where they are allowed, sessions only if served."""
    with OpLog(repo, "s") as log, OpLog(repo, "secret") as secret:
        log.append_many(making.entries(3))
        secret.append(entry(9))
    children.run(["git", "init", "-q", repo])

    async def work() -> None:
        async with agent(repo, "--read-only") as call:
            tools = await call("tools")
            assert set(tools) == {"list_sessions", "query", "history", "children", "blame", "conflicts", "wait"}
            assert all(tool.annotations.read_only_hint and tool.description for tool in tools.values())
            assert len((await call("list_sessions"))["sessions"]) == 2
        async with agent(repo, "--session", "s", "--actor", "ada", "--allow-commit") as call:
            assert set(await call("tools")) == {*tools, "record", "commit"}
            for wrong, told in (
                (call("query", session="secret"), "list_sessions"),
                (call("record", session="s", domain="code", op={}, actor_id="eve"), "leave it out"),
                (call("record", session="s", domain="", op={}), "domain"),
                (call("record", session="s", domain="code", op={"op": "x"}, parent_op_ids=["?"]), "UUID"),
                (call("history", session="s", op_id="?"), "holds no operation"),
                (call("query", session="s", limit=0), "greater than or equal"),
            ):
                with pytest.raises(ToolFailed, match=told):
                    await wrong
            assert (await call("commit", session="s", message="three"))["ops"] == 3
            assert (await call("commit", session="s")) == {"commit": None, "ops": 0}
        async with agent(repo) as call:
            with pytest.raises(ToolFailed, match="say who"):
                await call("record", session="s", domain="code", op={})
            with pytest.raises(ToolFailed, match="list_sessions"):
                await call("record", session="new", domain="code", op={}, actor_id="eve")
        with OpLog(repo, "s") as log:
            assert len(log) == 3

    asyncio.run(work())


ODD: tuple[tuple[str, dict[str, Any], str], ...] = (
    *(("record", {"session": name, "domain": "d", "op": {}}, "list_sessions") for name in ("../s", "/tmp", "", "s\0")),
    ("query", {"limit": 10**30}, "less than or equal"),
    ("query", {"limit": "all"}, "valid integer"),
    ("query", {"actor": ["bob"]}, "actor: query has no such argument, only session, where"),
    ("query", {"actor_id": "bob"}, "valid list"),
    ("query", {"where": {"n": 10**30}}, "64 bits"),
    ("wait", {"timeout_s": "nan"}, "less than or equal"),
    ("wait", {"since": "?"}, "has no entry"),
    ("blame", {"address": ["app.py"]}, "valid string"),
    ("blame", {}, "address"),
    ("record", {"domain": "d", "op": {"n": 10**30}}, "64 bits"),
    ("record", {"domain": "d", "op": "x"}, "valid dictionary"),
    ("record", {"domain": "d", "op": {}, "key": ""}, "not empty"),
    ("record", {"domain": "d", "op": {"text": "x" * (16 << 20)}}, "the limit is"),
    ("erase", {}, "Unknown tool"),
)


def test_odd_arguments_are_told_and_the_server_goes_on(repo: Path) -> None:
    """Too large, of another type, misspelt, out of the repository: an error that names it, and nothing is recorded."""
    with OpLog(repo, "s") as log:
        log.append(entry(1, domain_op={"op": "x", "address": "null"}))
    before = making.tree(repo).keys()

    async def work() -> None:
        async with agent(repo, "--actor", "ada") as call:
            for tool, arguments, told in ODD:
                with pytest.raises(ToolFailed, match=told):
                    await call(tool, **{"session": "s", **arguments})
            (blamed,) = (await call("blame", session="s", address="null"))["actors"]
            assert blamed["ops"] == 1

    asyncio.run(work())
    assert making.tree(repo).keys() == before
    with OpLog(repo, "s") as log:
        assert len(log) == 1


def test_who_starts_it_by_hand_is_told_what_it_waits_for(repo: Path) -> None:
    """On a terminal, and not a client; Ctrl-D ends it."""
    ours, theirs = os.openpty()
    with children.started(command_line("mcp", "--repo", repo), stdin=theirs, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        assert b"waiting for an MCP client" in server.stderr.readline()
        os.write(ours, b"\x04")
        assert server.wait(children.DEADLINE_S) == 0
    os.close(ours)
    os.close(theirs)


def test_a_key_of_another_operation_is_named(repo: Path) -> None:
    """The agent gave a key and no op_id: the error tells it to choose another key, and nothing is recorded."""

    async def work() -> None:
        async with agent(repo, "--actor", "ada", "--session", "s") as call:
            await call("record", session="s", domain="d", op={"op": "x"}, key="step 1")
            with pytest.raises(ToolFailed, match="key: 'step 1' is another operation's"):
                await call("record", session="s", domain="d", op={"op": "y"}, key="step 1")

    asyncio.run(work())
    assert [each["domain_op"]["op"] for each in plain_scan.scan(making.log_bytes(repo)).entries] == ["x"]


def test_two_clients_and_a_local_writer_lose_nothing(repo: Path) -> None:
    """Each with a server of its own, at the same time; what both record under one key is there once."""
    op = {"op": "x", "address": "app.py"}

    async def work() -> set[str]:
        with OpLog(repo, "s") as log:
            async with agent(repo, "--session", "s") as one, agent(repo, "--session", "s") as other:
                made = await asyncio.gather(
                    *(one("record", session="s", domain="d", op=op, actor_id="one") for _ in range(10)),
                    *(other("record", session="s", domain="d", op=op, actor_id="other") for _ in range(10)),
                    *(each("record", session="s", domain="d", op=op, actor_id="x", key="k") for each in (one, other)),
                    *(asyncio.to_thread(log.record, "local", "d", op) for _ in range(10)),
                )
        return {each["op_id"] for each in made}

    acknowledged = asyncio.run(work())
    assert len(acknowledged) == 31
    with OpLog(repo, "s") as log:
        assert {each["op_id"] for each in log} == acknowledged
        assert len(log) == 31


def test_a_log_that_was_replaced_is_served_as_it_is_now(repo: Path) -> None:
    """A server runs for days; meanwhile a session may be moved away, restored or made anew."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(3))

    async def work() -> None:
        async with agent(repo) as call:
            assert len((await call("query", session="s"))["entries"]) == 3
            log.folder.rename(repo / "away")
            with pytest.raises(ToolFailed, match="list_sessions"):
                await call("query", session="s")
            with OpLog(repo, "s") as new:
                new.append(entry(9))
            (found,) = (await call("query", session="s"))["entries"]
            assert found["op_id"] == making.op_id(9)

    asyncio.run(work())


def test_answers_are_bounded_and_say_what_is_left_out(repo: Path) -> None:
    """Of many operations, and of long ones, some 48 KiB come, and how to get the rest; a wait ends with its time."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(300, domain_op={"op": "x", "address": "a", "text": "x" * 1000}))
        log.append(entry(500, domain_op={"op": "x", "address": "b", "text": "x" * 100_000}))
    with OpLog(repo, "wide") as log:
        log.append_many([entry(600 + n, actor_id=f"{n}" * 1000) for n in range(20)])

    async def work() -> None:
        async with agent(repo) as call:
            many = await call("query", session="s", where={"address": "a"}, limit=200)
            assert 30 < len(many["entries"]) < 45
            assert "there are more" in many["left_out"]
            (long,) = (await call("query", session="s", where={"address": "b"}))["entries"]
            assert (long["op_id"], len(json.dumps(long)) < 1000) == (making.op_id(500), True)
            assert (long["domain"], "domain_op: 100" in long["left_out"]) == ("music", True)
            actors = (await call("list_sessions"))["sessions"]
            assert [(each["session"], "actors" in each) for each in actors] == [("s", True), ("wide", False)]
            few = await call("query", session="s", order="oldest first", limit=2)
            assert [each["lamport_ts"] for each in few["entries"]] == [1, 2]
            rest = await call("query", session="s", order="oldest first", limit=2, since=few["entries"][-1]["op_id"])
            assert [each["lamport_ts"] for each in rest["entries"]] == [3, 4]
            nothing = await call("wait", session="s", timeout_s=0.1)
            assert nothing == {"entries": [], "resume_since": making.op_id(500)}

    asyncio.run(work())


def test_the_server_ends_with_its_input(repo: Path) -> None:
    """Also in the middle of a wait of a minute, so that no process is left behind when the client goes away."""
    with OpLog(repo, "s") as log:
        log.append(entry(1))
    version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    wait = {"name": "wait", "arguments": {"session": "s", "timeout_s": 60}}
    messages = (
        {"id": 1, "method": "initialize", "params": version},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": wait},
        {"id": 3, "method": "tools/call", "params": {"name": "list_sessions", "arguments": {}}},
    )
    server = children.start([sys.executable, "-m", "muse", "op-log", "mcp", "--repo", repo])
    try:
        for message in messages:
            children.tell(server, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        output = children.pipe_of(server)
        # The wait has begun when a later call was answered.
        assert [json.loads(output.readline())["id"] for _ in range(2)] == [1, 3]
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(timeout=50) == 0
    finally:
        children.end(server)


def test_a_missing_package_is_told(repo: Path) -> None:
    """The command ends as for wrong usage, and says what to install."""
    code = "import sys; sys.modules['mcp.server.mcpserver'] = None; from muse.cli import main; main()"
    done = children.run([sys.executable, "-c", code, "op-log", "mcp", "--repo", repo], text=True)

    assert done.returncode == 2
    assert "pip install 'muse-op-log[mcp]'" in done.stderr
