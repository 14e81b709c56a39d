"""The table of failures in docs/replication.md: a test for each line, against real servers."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from muse.core.op_log import OpLog
from muse.replicate import (
    Replica,
    ReplicaBusyError,
    ReplicationRefusedError,
    Settings,
)
from tests import making
from tests.making import add_bytes, entries, entry, line, op_id
from tests.replicate import servers
from tests.replicate.hosts import (
    STREAM,
    WAIT,
    Host,
    assert_equal,
    fill,
    publish,
    replica,
    root,
    scan,
    sent_op_ids,
    sync,
    until,
)
from tests.replicate.servers import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_two_hosts_end_with_the_same(server: Server, host: Host) -> None:
    """Both have recorded before and record meanwhile; each line goes to the stream once, as it is."""
    a, b = host("a"), host("b")
    fill(a, range(1, 1500))
    add_bytes(b.path, b'{"rubbish\n' + line(entry(5000, v=[1, {"x": "é"}])) + line(entries(1, 3)[0]))
    with replica(a, server) as one, replica(b, server) as two:
        for number in range(2000, 2050):
            fill((a, b)[number % 2], [number])
        sync(one, two)
        assert_equal(a, b)
        assert len(a) == 1499 + 1 + 50
        assert one.status().is_caught_up
        assert one.status().to_send_bytes == 0
    assert line(entry(5000, v=[1, {"x": "é"}])) in a.path.read_bytes()
    # Entry 3 was on both hosts, and both may have sent it at the same moment.
    sent = sent_op_ids(server)
    assert sorted(set(sent)) == sorted(scan(a).op_ids)
    assert len(sent) <= len(set(sent)) + 1


def test_nothing_is_sent_back(server: Server, host: Host) -> None:
    """What came from the stream is never published again, not after restarts either."""
    a, b = host("a"), host("b")
    fill(a, range(1, 3000))
    for _ in range(3):
        with replica(a, server) as one, replica(b, server) as two:
            sync(one, two)
    assert_equal(a, b)
    assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)


def test_what_is_called_synced_is_in_the_log(server: Server, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only received, however long appending takes."""
    a, b = host("a"), host("b")
    append_lines = OpLog.append_lines

    def slowly(log: OpLog, data: bytes, **options: Any) -> tuple[int, int]:
        time.sleep(0.3)
        return append_lines(log, data, **options)

    monkeypatch.setattr(OpLog, "append_lines", slowly)
    with replica(a, server) as one, replica(b, server) as two:
        for number in range(1, 4):
            fill(a, [number])
            one.wait_synced(WAIT)
            two.wait_synced(WAIT)
            assert scan(b).op_ids == scan(a).op_ids


def test_a_line_longer_than_a_message_goes_in_parts(server: Server, host: Host) -> None:
    """It arrives byte for byte, between others."""
    a, b = host("a"), host("b")
    fill(a, [1])
    a.append(entry(2, domain_op={"op": "insert", "text": "x" * 3_000_000}))
    fill(a, [3])
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        assert b.path.read_bytes() == a.path.read_bytes()
        assert_equal(a, b)
    with replica(b, server) as two:
        two.wait_synced(WAIT)
    assert two.status().rewinds == 0


def test_a_wiped_server_is_filled_again(server: Server, host: Host) -> None:
    """Noticed when it is back; what any of them holds is sent again, also what came from others."""
    a, b, c = host("a"), host("b"), host("c")
    fill(a, range(1, 2000))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
    with replica(b, server) as two:
        two.wait_synced(WAIT)
        server.wipe()
        server.start()
        fill(b, [5000])
        two.wait_synced(WAIT)
        assert two.status().rewinds == 1
        with replica(c, server) as three:
            sync(three)
            assert_equal(b, c)
            assert len(c) == 2000


def test_a_store_that_was_rolled_back_is_noticed_though_numbers_are_used_again(server: Server, host: Host) -> None:
    """The same sequence numbers then stand for other messages: time and count tell."""
    a, b = host("a"), host("b")
    fill(a, range(1, 20))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        copy = server.snapshot()
        fill(a, range(20, 40))
        sync(one, two)
    server.roll_back(copy)
    server.start()
    # Another host takes the numbers that `a` and `b` have seen.
    c = host("c")
    fill(c, range(100, 140))
    with replica(c, server) as three:
        three.wait_synced(WAIT)
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        assert one.status().rewinds == 1
        with replica(b, server) as two, replica(c, server) as three:
            sync(one, two, three)
            assert_equal(a, b, c)
    assert set(sent_op_ids(server)) == set(scan(a).op_ids)


def test_a_stream_that_was_purged_is_filled_again(server: Server, host: Host) -> None:
    """An administrator can do so after allowing it; it is noticed at the next look."""
    a, b = host("a"), host("b")
    fill(a, range(1, 20))
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        servers.api(server, f"STREAM.DELETE.{STREAM}")
        until(lambda: one.status().rewinds == 1)
        with replica(b, server) as two:
            sync(one, two)
            assert_equal(a, b)


def test_what_the_server_counts_and_can_not_deliver_is_called_for_by_an_audit(
    server: Server, host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a host that reads it all can notice; then whoever holds it sends it again, and everybody rewinds once."""
    # It is waited for several times.
    monkeypatch.setattr("muse.replicate.exchange.round.QUIET_SECONDS", 1.0)
    a, b, c = host("a"), host("b"), host("c")
    a.append_many([entry(number, domain_op={"op": "insert", "text": "x" * 240_000}) for number in range(1, 80)])
    with replica(a, server) as one:
        one.wait_synced(WAIT)
    assert damage(server, op_id(3).encode(), keep_state=True) == 1
    with replica(a, server) as one, replica(b, server) as two:
        two.wait_synced(WAIT)
        until(lambda: len(b) == 79)
        sync(one, two)
        assert_equal(a, b)
        assert "can't deliver" in caplog.text
        assert one.status().rewinds == 1
        with replica(c, server) as three:
            sync(three, one)
            assert_equal(a, c)
        assert (one.status().rewinds, three.status().rewinds) == (1, 0)


def test_what_the_server_can_not_deliver_is_called_for_though_more_arrives_all_the_time(
    server: Server, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment comes in which all that is counted should have arrived; no message is missed that only comes later."""
    monkeypatch.setattr("muse.replicate.exchange.round.CHECK_SECONDS", 0.2)
    monkeypatch.setattr("muse.replicate.exchange.round.QUIET_SECONDS", 1.0)
    a, b = host("a"), host("b")
    a.append_many([entry(number, domain_op={"op": "insert", "text": "x" * 240_000}) for number in range(1, 40)])
    with replica(a, server) as one:
        one.wait_synced(WAIT)
    assert damage(server, op_id(3).encode(), keep_state=True) == 1
    with replica(a, server) as one, replica(b, server) as two:
        number = 100

        def record_until(condition: Callable[[], bool]) -> None:
            nonlocal number
            deadline = time.monotonic() + WAIT
            while not condition():
                assert time.monotonic() < deadline
                fill(a, [number := number + 1])
                time.sleep(0.02)

        record_until(lambda: b.get(op_id(3)) is not None)
        end = number + 10
        record_until(lambda: number > end)
        sync(one, two)
        assert_equal(a, b)
        assert (one.status().rewinds, two.status().rewinds) == (1, 0)


def send_one_by_one(server: Server, log: OpLog) -> None:
    """Five operations, each in a message of its own, in a stream that an administrator can take them out of."""
    config = {"name": STREAM, "subjects": ["muse.t.ops.*", "muse.t.committer.*"], "duplicate_window": 120 * 10**9}
    assert "error" not in servers.api(server, f"STREAM.CREATE.{STREAM}", {**config, "storage": "file"})
    with replica(log, server) as one:
        for number in range(1, 6):
            fill(log, [number])
            one.wait_synced(WAIT)


@pytest.mark.parametrize("how", ["hole", "purge"])
def test_what_an_administrator_removes_is_sent_again_though_its_id_is_remembered(
    server: Server, host: Host, how: str
) -> None:
    """The last message may still be there: the count tells. The server takes no id twice, so they are other ones."""
    a, b = host("a"), host("b")
    send_one_by_one(server, a)
    if how == "hole":
        # The fourth is one of the operations': the committer's message is among the first ones.
        assert len(servers.messages(server, STREAM)) == 5
        assert servers.api(server, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 4}).get("success")
    else:
        assert servers.api(server, f"STREAM.PURGE.{STREAM}", {"filter": "muse.t.ops.s"}).get("success")
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        assert one.status().rewinds == 1
        with replica(b, server) as two:
            sync(one, two)
            assert_equal(a, b)
            assert len(b) == 5


def test_what_was_removed_is_sent_by_a_copy_of_the_session_too(server: Server, host: Host, tmp_path: Path) -> None:
    """The server knows the id, and says that it has the message: it is looked at, and sent under another one."""
    a, b = host("a"), host("b")
    send_one_by_one(server, a)
    assert servers.api(server, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 4}).get("success")
    (tmp_path / "c").mkdir()
    shutil.copytree(a.folder, tmp_path / "c" / a.folder.relative_to(root(a)))
    with replica(host("c"), server) as three, replica(b, server) as two:
        sync(three, two)
        assert len(b) == 5


def test_a_damaged_block_file_is_noticed_and_what_is_lost_sent_again(server: Server, host: Host) -> None:
    """One flipped bit costs the server messages that it had acknowledged: whoever has seen them sends them again."""
    a, b = host("a"), host("b")
    with replica(a, server) as one:
        for number in range(1, 6):
            fill(a, [number])
            one.wait_synced(WAIT)
    assert damage(server, op_id(2).encode()) == 1
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        assert one.status().rewinds == 1
        assert_equal(a, b)
        assert len(b) == 5


def damage(server: Server, marker: bytes, *, keep_state: bool = False) -> int:
    """Flip bits of the stored message that holds `marker`, the server being down, and let it find out by itself.

    With `keep_state` it believes what it wrote down when it ended, and counts on what it can't deliver.
    """
    server.stop()
    damaged = 0
    for block in server.blocks():
        data = bytearray(block.read_bytes())
        at = data.find(marker)
        if at >= 0:
            data[at : at + len(marker)] = bytes(byte ^ 1 for byte in marker)
            block.write_bytes(data)
            damaged += 1
    for path in () if keep_state else server.store.rglob("index.db"):
        path.unlink()
    server.start()
    return damaged


def test_the_last_holder_of_an_operation_may_be_away(server: Server, host: Host) -> None:
    """Lost on the server and nowhere else: it arrives when that host returns; nobody calls it lost."""
    a, b = host("a"), host("b")
    fill(a, range(1, 10))
    with replica(a, server) as one:
        one.wait_synced(WAIT)
    server.wipe()
    server.start()
    fill(b, [50])
    with replica(b, server) as two:
        two.wait_synced(WAIT)
        assert len(b) == 1
        with replica(a, server) as one:
            sync(one, two)
            assert_equal(a, b)
            assert len(b) == 10


@pytest.mark.parametrize("how", ["tail", "copy", "empty"])
def test_a_log_that_lost_something_gets_it_again(server: Server, host: Host, tmp_path: Path, how: str) -> None:
    """Its save point does not fit any more: everything is fetched again."""
    a, b = host("a"), host("b")
    fill(a, range(1, 20))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        shutil.copytree(b.folder, tmp_path / "copy")
        fill(a, range(20, 40))
        sync(one, two)
    expected = sorted(scan(b).op_ids)
    b.close()
    if how == "tail":
        data = b.path.read_bytes()
        b.path.write_bytes(data[: data.rfind(b"\n", 0, -2000) + 1])
    else:
        shutil.rmtree(b.folder)
        if how == "copy":
            shutil.copytree(tmp_path / "copy", b.folder)
    again = host("b")
    with replica(again, server) as two:
        two.wait_synced(WAIT)
        assert sorted(scan(again).op_ids) == expected
    assert sorted(sent_op_ids(server)) == expected


def test_a_log_replaced_while_it_is_replicated_gets_it_again(server: Server, host: Host) -> None:
    """The round ends, and the next one opens the log anew."""
    a, b = host("a"), host("b")
    fill(a, range(1, 20))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        b.close()
        b.path.unlink()
        again = host("b")
        fill(again, [100])
        sync(one, two)
        assert_equal(a, again)
        assert len(again) == 20


def test_what_is_recorded_in_a_log_that_was_put_back_is_sent(server: Server, host: Host) -> None:
    """Messages that ended farther on, before, do not keep its last lines back; the server has lost the rest."""
    a, b = host("a"), host("b")
    send_one_by_one(server, a)
    server.wipe()
    server.start()
    a.close()
    lines = a.path.read_bytes().splitlines(keepends=True)
    a.path.write_bytes(b"".join(lines[:3]) + line(entry(100, intent_id="x")))
    with replica(host("a"), server) as one, replica(b, server) as two:
        sync(one, two)
        assert scan(b).op_ids == scan(a).op_ids
        assert len(b) == 4


def test_a_log_cut_in_place_while_it_is_replicated_gets_it_again(server: Server, host: Host) -> None:
    """As by `cp` of an older one over it; what is recorded afterwards is sent."""
    a, b = host("a"), host("b")
    fill(a, range(1, 20))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        lines = b.path.read_bytes().splitlines(keepends=True)
        b.close()
        with b.path.open("r+b") as file:
            file.truncate(sum(map(len, lines[:10])))
            file.seek(0, os.SEEK_END)
            file.write(line(entry(100)))
        two.wait_synced(WAIT)
        assert len(scan(b).op_ids) == 20
        sync(one)
        assert_equal(a, host("b"))


def test_what_is_not_valid_or_another_is_refused_and_told_alone(
    server: Server, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid line, an op_id with other content, a part without sense: the rest goes on."""
    a, b = host("a"), host("b")
    fill(a, range(1, 5))
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        publish(server, b"no JSON\n" + line(entry(1, actor_id="eve")) + line(entry(50)))
        publish(server, b"x", **{"Muse-Part": "7/2", "Muse-Group": "g"})
        publish(server, b"x", **{"Muse-Part": "²/3", "Muse-Group": "g"})
        for said in (b'{"committer": "eve", "term": 1e400}', b'{"committer": "eve", "term": 1e300}', b"[" * 100_000):
            publish(server, said, "muse.t.committer.s")
        publish(server, b"")
        publish(server, line(entry(51))[:-1])
        one.wait_synced(WAIT)
        assert sorted(scan(a).op_ids) == sorted(map(op_id, [1, 2, 3, 4, 50, 51]))
        assert one.status().refused == 2
        assert op_id(1) in caplog.text
        fill(a, [60])
        with replica(b, server) as two:
            sync(one, two)
            assert set(scan(b).op_ids) == set(scan(a).op_ids)


def test_an_audit_is_followed_once_however_long_the_round_lasts(server: Server, host: Host) -> None:
    """Also by a host that began at the start of the stream: what it has received since may be lost."""
    a = host("a")
    fill(a, range(1, 5))
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        publish(server, b"", **{"Muse-Audit": "1"})
        until(lambda: one.status().rewinds == 1)
        one.wait_synced(WAIT)
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        assert one.status().rewinds == 0
    assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)


def test_a_newer_protocol_is_refused(server: Server, host: Host) -> None:
    """Who does not understand it must not guess."""
    a = host("a")
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        publish(server, line(entry(1)), **{"Muse-Version": "2"})
        until(lambda: not one.status().is_running)
        with pytest.raises(ReplicationRefusedError, match="newer"):
            one.wait_synced(WAIT)
    assert len(a) == 0


PASSWORDS = """
authorization {{ users: [
  {{ user: "all", password: "secret" }},
  {{ user: "few", password: "secret", permissions: {{ publish: {{ deny: ["{denied}"] }}, subscribe: ">" }} }}
] }}
"""


@pytest.mark.parametrize(
    "denied", ["muse.t.ops.*", "$JS.API.STREAM.INFO.MUSE_t", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.MSG.NEXT.>"]
)
def test_a_denied_subject_is_named_and_not_tried_for_ever(host: Host, tmp_path: Path, denied: str) -> None:
    """The replica ends with an error that names it."""
    if reason := servers.why_not():
        pytest.skip(reason)
    a = host("a")
    fill(a, [1])
    with servers.running(tmp_path / "server", PASSWORDS.format(denied=denied)) as server:
        everything = server.url.replace("//", "//all:secret@")
        few = server.url.replace("//", "//few:secret@")
        b = host("b")
        with replica(b, everything) as two:
            two.wait_synced(WAIT)
        with replica(a, few) as one:
            with pytest.raises(ReplicationRefusedError, match=denied.strip("*>").rstrip(".").replace("$", r"\$")):
                one.wait_synced(WAIT)
            assert not one.status().is_running
    assert len(a) == 1


LEAST = """
authorization { users: [
  { user: "all", password: "secret" },
  { user: "ada", password: "secret", permissions: {
    publish: [
      "muse.t.ops.*", "muse.t.committer.*",
      "$JS.API.STREAM.INFO.MUSE_t", "$JS.API.STREAM.MSG.GET.MUSE_t",
      "$JS.API.CONSUMER.CREATE.MUSE_t.*.muse.t.ops.*", "$JS.API.CONSUMER.DELETE.MUSE_t.*",
      "$JS.API.CONSUMER.MSG.NEXT.MUSE_t.*"
    ]
    subscribe: ["_INBOX_ada.>"]
  } }
] }
"""


def test_the_least_permissions_are_enough_once_the_stream_is_made(host: Host, tmp_path: Path) -> None:
    """Those that the how-to page gives a host of a team."""
    if reason := servers.why_not():
        pytest.skip(reason)
    page = (making.PROJECT / "docs" / "how-to" / "replicate.md").read_text(encoding="utf-8")
    for line_ in LEAST.replace("MUSE_t", "MUSE_studio").replace("muse.t.", "muse.studio.").splitlines():
        if "muse.studio" in line_ or "MUSE_studio" in line_ or "subscribe" in line_:
            assert line_.strip() in page
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with servers.running(tmp_path / "server", LEAST) as server:
        with replica(b, server.url.replace("//", "//all:secret@")) as two:
            two.wait_synced(WAIT)
        ada = Settings((server.url,), space="t", user="ada", password="secret", inbox="_INBOX_ada")
        with Replica(a.folder.parents[2], "s", ada) as one:
            one.wait_synced(WAIT)
        with Replica(b.folder.parents[2], "s", ada) as two:
            two.wait_synced(WAIT)
    assert_equal(a, b)
    a.check_may_commit()


@pytest.mark.parametrize("given", ["url", "token"])
def test_a_password_or_token_of_odd_characters_is_taken_from_the_url(host: Host, tmp_path: Path, given: str) -> None:
    """Percent-encoded there, as in every URL."""
    if reason := servers.why_not():
        pytest.skip(reason)
    secret = "p@s/s#w%4 ,:é"
    config = f'token: "{secret}"' if given == "token" else f'user: "a da", password: "{secret}"'
    login = quote(secret, safe="") if given == "token" else f"a%20da:{quote(secret, safe='')}"
    with (
        servers.running(tmp_path / "server", f"authorization {{ {config} }}") as server,
        replica(host("a"), server.url.replace("//", f"//{login}@")) as one,
    ):
        one.wait_synced(WAIT)
        assert one.status().url == server.url


def test_a_server_that_takes_short_messages_only_is_told_and_not_tried_for_ever(host: Host, tmp_path: Path) -> None:
    """No line would fit beside the headers."""
    if reason := servers.why_not():
        pytest.skip(reason)
    a = host("a")
    fill(a, [1])
    with servers.running(tmp_path / "server", "max_payload: 4096") as server, replica(a, server) as one:
        with pytest.raises(ReplicationRefusedError, match="max_payload"):
            one.wait_synced(WAIT)
        assert not one.status().is_running


def test_wrong_credentials_are_told_and_not_tried_for_ever(host: Host, tmp_path: Path) -> None:
    """The password is in no message."""
    if reason := servers.why_not():
        pytest.skip(reason)
    a = host("a")
    with servers.running(tmp_path / "server", PASSWORDS.format(denied="x")) as server:
        one = replica(a, server.url.replace("//", "//all:wrong@"))
        with one, pytest.raises(ReplicationRefusedError, match=r"(?i)authorization") as raised:
            one.wait_synced(WAIT)
        assert "wrong" not in str(raised.value)


def test_a_full_stream_makes_sending_wait_and_drops_nothing(
    server: Server, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; when there is room again all arrives."""
    a, b = host("a"), host("b")
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        config = servers.api(server, f"STREAM.INFO.{STREAM}")["config"]
        servers.api(server, f"STREAM.UPDATE.{STREAM}", {**config, "max_bytes": 50_000})
        fill(a, range(1, 1000))
        until(lambda: "maximum bytes" in caplog.text)
        assert one.status().to_send_bytes > 0
        servers.api(server, f"STREAM.UPDATE.{STREAM}", config)
        with replica(b, server) as two:
            sync(one, two)
            assert_equal(a, b)
            assert len(b) == 999


@pytest.mark.parametrize(
    ("name", "value"), [("max_age", 10**9), ("max_bytes", 1000), ("max_msgs_per_subject", 3), ("retention", "interest")]
)
def test_a_stream_that_removes_messages_of_its_own_accord_is_refused(
    server: Server, host: Host, name: str, value: object
) -> None:
    """Somebody else has made it: all hosts would fill it again for ever. The error names the setting."""
    config = {"name": STREAM, "subjects": ["muse.t.ops.*", "muse.t.committer.*"], "storage": "file", name: value}
    assert "error" not in servers.api(server, f"STREAM.CREATE.{STREAM}", config)
    a = host("a")
    fill(a, range(1, 9))
    with replica(a, server) as one, pytest.raises(ReplicationRefusedError, match=f"{STREAM}.*{name}"):
        one.wait_synced(WAIT)


def test_a_second_replicator_of_one_session_is_told_who_has_it(server: Server, host: Host) -> None:
    """In this process or another, in this space or another; when the first is gone, the lock is."""
    a = host("a")
    for space in ("t", "other"):
        with replica(a, server), pytest.raises(ReplicaBusyError) as raised, replica(a, server, space=space):
            pass
        assert f"process {os.getpid()} on " in str(raised.value)
        assert str(raised.value).endswith("in space t")
    with replica(a, server) as again:
        again.wait_synced(WAIT)


def test_a_forked_child_does_not_keep_the_lock(server: Server, host: Host) -> None:
    """Only who replicates has it."""
    a = host("a")
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        one.stop()
        try:
            with replica(a, server) as again:
                again.wait_synced(WAIT)
        finally:
            os.close(write)
            os.close(read)
            os.waitpid(child, 0)
