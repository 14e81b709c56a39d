"""A host in a process of its own: it records and replicates, and writes down what was acknowledged to it."""

from __future__ import annotations

import logging
import random
import sys
import time

from muse.core.op_log import OpLog
from muse.replicate import Replica, Settings
from tests.making import SOME_OP


def main(repo: str, actor: str, acknowledged: str, *urls: str) -> None:
    """Record until this process is killed."""
    logging.basicConfig(filename=f"{acknowledged}.log", format="%(asctime)s %(message)s")
    rng = random.Random()
    settings = Settings(urls, space="t")
    with OpLog(repo, "s") as log, open(acknowledged, "a", encoding="ascii") as file, Replica(repo, "s", settings):
        while True:
            entry = log.record(actor, rng.choice(("music", "code")), SOME_OP)
            file.write(entry["op_id"] + "\n")
            file.flush()
            if rng.random() < 0.01:
                log.record(actor, "music", {"op": "insert", "text": "x" * rng.choice((10, 300_000))})
            time.sleep(rng.choice((0, 0.001, 0.01)))


if __name__ == "__main__":
    main(*sys.argv[1:])
