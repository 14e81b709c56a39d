"""Every error that replication raises of its own accord.

A round that fails is tried again for ever, and `Replica.status` tells its error; what is raised is either at an end
for good, or a wait that took too long.
"""

from __future__ import annotations

from muse.core.op_log import MuseError


class ReplicationUnavailableError(MuseError, ConnectionError):
    """No server could be reached, or it was lost, or not everything was exchanged in time. Recording goes on."""


class ReplicationRefusedError(MuseError, PermissionError):
    """The server refuses this host, or what it may do is not enough: trying again is of no use.

    The message names the subject if it is one that is denied.
    """


class ReplicaBusyError(MuseError, BlockingIOError):
    """The session of this repository is being replicated already. The message names the process."""
