"""The commands `sync` and `sync-status`, with a real server; and that nothing else loads what they need."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.cli.app import op_log
from muse.core.op_log import OpLog
from tests import children
from tests.cli.running import command_line, muse
from tests.making import entries, tree
from tests.replicate import servers
from tests.replicate.servers import Server

Host = Callable[[str], OpLog]


def repo_of(log: OpLog) -> Path:
    """The repository that a log lies in."""
    return log.folder.parents[2]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, but not for ever."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.process
@pytest.mark.slow
def test_sync_once_exchanges_what_there_is_and_ends(server: Server, host: Host) -> None:
    """The second host need not have the session; a second run has nothing to do; status says who has sent all."""
    a, b = host("a"), host("b")
    a.append_many(entries(300))
    for log in (a, b, a):
        result = muse("sync", "s", server.url, "--once", "--timeout", "60", "--space", "x", "--repo", repo_of(log))
        assert result.exit_code == 0, result.stderr
        assert "1 session synced" in result.stderr
    assert b.path.read_bytes() == a.path.read_bytes()
    status = json.loads(muse("sync-status", "--json", "--repo", repo_of(a)).stdout)
    assert (status["session"], status["space"], status["by"], status["to_send_bytes"]) == ("s", "x", "", 0)


@pytest.mark.process
@pytest.mark.slow
def test_sync_all_takes_every_session_also_those_made_later(server: Server, host: Host) -> None:
    """In the foreground until SIGTERM; the status names the process; what is recorded meanwhile arrives."""
    a, b = host("a"), host("b")
    a.append_many(entries(5))
    command = command_line("sync", "--all", server.url, "--repo", repo_of(a))
    with children.started(command, stderr=subprocess.PIPE) as process:
        with OpLog(repo_of(a), "later/one") as later:
            later.append_many(entries(7))
        until((repo_of(a) / ".muse/replicas/muse/later%2Fone.json").exists)
        until(lambda: "caught up" in muse("sync-status", "--repo", repo_of(a)).stdout)
        assert f"process {process.pid}" in muse("sync-status", "--repo", repo_of(a)).stdout
        busy = muse("sync", "s", server.url, "--once", "--repo", repo_of(a))
        assert (busy.exit_code, f"process {process.pid}" in busy.stderr) == (3, True)
        for session in ("s", "later/one"):
            result = muse("sync", session, server.url, "--once", "--repo", repo_of(b))
            assert result.exit_code == 0, result.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    with OpLog(repo_of(b), "later/one") as there:
        assert (len(b), len(there)) == (5, 7)


@pytest.mark.process
@pytest.mark.slow
def test_settings_come_from_the_file_and_the_environment(
    server: Server, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given counts before the environment, that before the file."""
    a = host("a")
    a.append_many(entries(3))
    file = repo_of(a) / ".muse" / "replicate.toml"
    file.write_text('url = "nats://127.0.0.1:1"\nspace = "from-file"\n')
    failed = muse("sync", "s", "--once", "--timeout", "0.5", "--repo", repo_of(a))
    assert (failed.exit_code, "127.0.0.1:1" in failed.stderr) == (3, True)
    monkeypatch.setenv("MUSE_NATS_URL", server.url)
    assert muse("sync", "s", "--once", "--repo", repo_of(a)).exit_code == 0
    monkeypatch.setenv("MUSE_NATS_SPACE", "from-environment")
    assert muse("sync", "s", "--once", "--repo", repo_of(a)).exit_code == 0
    assert muse("sync", "s", "--once", "--space", "given", "--repo", repo_of(a)).exit_code == 0
    folders = {path.parent.name for path in (repo_of(a) / ".muse/replicas").glob("*/s.json")}
    assert folders == {"from-file", "from-environment", "given"}


@pytest.mark.process
@pytest.mark.slow
def test_a_server_for_trying_out_ends_with_the_command(host: Host) -> None:
    """It keeps its streams below .muse, and leaves nothing running, not even when the command is killed."""
    if reason := servers.why_not():
        pytest.skip(reason)
    a = host("a")
    a.append_many(entries(3))
    url = f"nats://127.0.0.1:{servers.free_port()}"
    for _ in range(2):
        result = muse("sync", "s", url, "--serve", "--once", "--repo", repo_of(a))
        assert result.exit_code == 0, result.stderr
    failed = muse("sync", "s", url, "--once", "--timeout", "0.3", "--repo", repo_of(a))
    assert failed.exit_code == 3
    with children.started(command_line("sync", "s", url, "--serve", "--repo", repo_of(a))) as process:
        until(lambda: muse("sync-status", "--repo", repo_of(a)).stdout.count("caught up") == 1)
        process.kill()
        process.wait(20)
        until(lambda: not is_listening(url))


def is_listening(url: str) -> bool:
    """Whether a server listens at this URL."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a SESSION"),
        (("s",), "url"),
        (("s", "nats://u:pw@h:4222"), "password"),
        (("s", "http://h"), "nats://"),
        (("s", "nats://h", "--space", "a.b"), "space"),
        (("s", "nats://h", "--all"), "--all"),
        (("s", "nats://h", "--replicas", "9"), "9"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, what is wrong, and no password."""
    for name in [name for name in os.environ if name.startswith("MUSE_NATS_")]:
        monkeypatch.delenv(name)
    before = tree(tmp_path)
    result = muse("sync", *arguments, "--repo", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "pw" not in result.stderr.replace("password", "")
    assert tree(tmp_path) == before


@pytest.mark.process
def test_status_keeps_to_one_line_of_a_narrow_terminal(tmp_path: Path) -> None:
    """What is written over must not have gone on in the next line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    with children.started(command_line("sync", "s", url, "--repo", tmp_path), stderr=theirs):
        sent = b""
        while sent.count(b"\x1b[K") < 3:
            sent += os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    first, second = sent.decode().split("\r\x1b[K")[1:3]
    assert first.startswith("connected 0/1")
    assert max(map(len, (first, second))) <= 30


def test_a_file_with_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A misspelled name is not passed over."""
    (tmp_path / ".muse").mkdir()
    (tmp_path / ".muse" / "replicate.toml").write_text('urls = "nats://h"\n')
    result = muse("sync", "s", "--repo", tmp_path)
    assert (result.exit_code, "urls" in result.stderr) == (2, True)


def test_sync_status_of_a_repository_without_replicas_is_empty(tmp_path: Path) -> None:
    """It says so, and makes nothing."""
    result = muse("sync-status", "--repo", tmp_path)
    assert (result.exit_code, "0 sessions" in result.stderr) == (0, True)
    assert list(tmp_path.iterdir()) == []


LOADED = """
import sys
import muse.core.op_log, muse.commit, muse.cli.app, muse.report
from muse.cli import main
for arguments in (["op-log", "--help"], *(["op-log", name, "--help"] for name in sys.argv[1:]),
                  ["op-log", "sessions"], ["op-log", "commits", "x"], ["op-log", "count", "x"]):
    try:
        main(arguments)
    except SystemExit:
        pass
print("LOADED", sorted(name for name in sys.modules if name.split(".")[0] == "nats" or name.startswith("muse.replicate")
                       or name == "asyncio"))
"""


@pytest.mark.process
def test_nobody_else_loads_anything_of_it(tmp_path: Path) -> None:
    """Not the import of the engine, nor the help of any command, nor commands at work."""
    done = children.run([sys.executable, "-c", LOADED, *op_log.commands], cwd=tmp_path, stdout=subprocess.PIPE)
    loaded = done.stdout.decode().splitlines()[-1]
    assert loaded.startswith("LOADED")
    assert "muse.replicate" not in loaded
    assert "nats" not in loaded


@pytest.mark.process
def test_without_the_client_the_error_says_what_to_install(tmp_path: Path) -> None:
    """The extra is named."""
    code = (
        "import sys; sys.modules['nats'] = None\n"
        "from muse.cli import main\n"
        f"main(['op-log', 'sync', 's', 'nats://h', '--repo', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert b"muse-op-log[nats]" in done.stderr
