"""A host in a process of its own, to be killed: it records without end into session "s", and replicates it."""

from __future__ import annotations

import sys

from muse.core.op_log import OpLog
from muse.replicate import Replica, Settings
from tests.making import SOME_OP


def main(repo: str, actor: str, *urls: str) -> None:
    """Record until this process is killed."""
    with OpLog(repo, "s") as log, Replica(repo, "s", Settings(urls, space="t")):
        print("ready", flush=True)
        while True:
            log.record(actor, "music", SOME_OP)


if __name__ == "__main__":
    main(*sys.argv[1:])
