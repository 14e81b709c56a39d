"""One session on several hosts, by way of a NATS JetStream server that is trusted with nothing.

    with OpLog(".", "friday") as log, log.replicate("nats://localhost:4222", space="studio") as replica:
        log.record("ada", "code", {"op": "insert", "address": "a.py"})
        replica.wait_synced(10)

The rooms, from the handle down; each imports only what stands below it:

    replica       the handle, for a program with threads or an event loop
    process/      the process that does the work, round after round
    exchange/     one round: agree with the server, read, send, look again
    bookkeeping/  what a host remembers: what was received and sent, from where to go on, who commits
    wire/         messages, the stream that holds them, the connection to a server
    trial         a server for trying replication out, as long as a block lasts
    status        how a replica stands
    settings      servers, space, credentials
    errors        every error

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
