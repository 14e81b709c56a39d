"""`python -m tests.replicate.torture --rounds N [--seed S]`: round after round, each with a seed of its own."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
from pathlib import Path

from tests import children
from tests.replicate import servers
from tests.replicate.torture.round import play


def main() -> int:
    """Play the rounds; 1 if one of them has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.replicate.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; each next one has one more")
    parser.add_argument("--harms", type=int, default=8, help="how much harm a round does")
    given = parser.parse_args()
    if reason := servers.why_not():
        print(f"not run: {reason}")
        return 1
    first = random.randrange(2**31) if given.seed is None else given.seed
    children.let_children_have_default_signals()
    failed = 0
    for seed in range(first, first + given.rounds):
        # Every third one has three nodes.
        is_cluster = seed % 3 == 0
        with tempfile.TemporaryDirectory(prefix="muse-replicas-") as folder:
            try:
                told = play(Path(folder), seed, given.harms, is_cluster=is_cluster)
                print(f"seed {seed}, {'3 nodes' if is_cluster else '1 node'}: {told}", flush=True)
            except Exception:  # noqa: BLE001 - the next rounds are played all the same
                failed += 1
                print(f"seed {seed} FAILED\n{traceback.format_exc()}", flush=True)
            finally:
                children.kill_all()
    print(f"{given.rounds} rounds, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
