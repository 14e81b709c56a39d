"""One session on several hosts, by way of a NATS JetStream server that is trusted with nothing.

    with OpLog(".", "friday") as log, log.replicate("nats://localhost:4222", space="studio") as replica:
        log.record("ada", "code", {"op": "insert", "address": "a.py"})
        replica.wait_synced(10)

The rooms, from the handle down:

    replica     the handle, for a program with threads or an event loop
    process     the child process behind it, as the program sees it
    child       what that process does
    worker      the work of one replica, round after round: in the child, or in `muse op-log sync`
    committer   which replica commits; handing that over
    round       one round: agree with the server, read, send, look again
    sender      its half that sends
    stream      the stream of a space: made, counted, read, written to
    link        one connection to a server; the only module that imports `nats`
    save_point  where to go on after a restart, on disk
    redactions  which redactions the stream has, and what is sent once more
    ledger      what was received and what was sent: pure
    messages    the layout of messages: pure
    threads     where a round does what could block
    status      how a replica stands
    trial       a server for trying replication out, as long as a block lasts
    settings    servers, space, credentials
    errors      every error

The local logs stay the truth: an operation lives as long as one log holds it. docs/replication.md has the protocol.
"""

from muse.replicate.errors import ReplicaBusyError, ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.replica import AsyncReplica, Replica, become_committer
from muse.replicate.settings import Settings, read_settings
from muse.replicate.status import ReplicaStatus

__all__ = [
    "AsyncReplica",
    "Replica",
    "ReplicaBusyError",
    "ReplicaStatus",
    "ReplicationRefusedError",
    "ReplicationUnavailableError",
    "Settings",
    "become_committer",
    "read_settings",
]
