"""The command `accept`: write down that damage which can't be undone is understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from muse.cli.engine import engine
from muse.cli.options.consent import by_option, is_agreed, yes_option
from muse.cli.options.session import json_option, session_log
from muse.cli.output.failures import FOUND_DAMAGE, WrongUsage, exit_with
from muse.cli.output.findings import print_findings
from muse.cli.output.printing import note, pluralize, print_json
from muse.cli.output.progress import ProgressBar


@click.command(
    short_help="Accept damage that can't be undone.",
    epilog="\b\n"
    "Example: what no replica has is gone, and that is understood.\n"
    "  muse op-log accept demo operation-lost --why 'disk of 3 May, no replica has them'",
)
@session_log
@click.argument("finding", metavar="FINDING...", nargs=-1, required=True)
@click.option("--why", required=True, metavar="TEXT", help="Why the damage is acceptable; verify shows it.")
@by_option("Who accepts it; default: the name of the user.")
@yes_option
@json_option("one object: what was accepted or would be, and whether other damage is left")
def accept(log: engine.OpLog, finding: tuple[str, ...], why: str, by: str, *, yes: bool, as_json: bool) -> None:
    """Write down in accepted.json that these findings of SESSION are understood and accepted: no damage from then on.

    Each FINDING is an id as verify prints it, or the beginning of one, or a kind, such as operation-lost, for all of
    that kind. From then on verify lists them as notes, with who accepted them, when and why. What is found later is
    damage again.
    """
    with ProgressBar(f"verifying {log.session_id}", "bytes") as bar:
        report = log.verify(progress=bar, max_findings=None)
    chosen = _chosen(report, finding)
    if not as_json:
        print_findings(chosen)
    count = pluralize(sum(each.count for each in chosen), "line or operation", "lines or operations")
    is_done = bool(chosen) and is_agreed(f"Accept {count} as {by}: {why}?", yes=yes)
    if is_done:
        log.accept(chosen, by=by, why=why)
        note(f"accepted by {by}: {count}")
    left = [each for each in report.findings if each.severity == "damage" and not (is_done and each in chosen)]
    if as_json:
        accepted = [asdict(each) for each in chosen]
        print_json(
            {
                "session_id": log.session_id,
                "by": by,
                "why": why,
                "applied": is_done,
                "ok": not left,
                "findings": accepted,
            }
        )
    if not chosen:
        note("nothing to accept")
    note(f"damage that is not accepted: {pluralize(len(left), 'finding')}" if left else "no damage is left")
    exit_with(0 if is_done or not chosen else FOUND_DAMAGE)


def _chosen(report: engine.VerifyReport, names: Sequence[str]) -> list[engine.Finding]:
    """The findings that the names stand for, each once, without those that are accepted already."""
    chosen: list[engine.Finding] = []
    for name in names:
        found = [each for each in report.findings if name == each.kind or (name and each.id.startswith(name.lower()))]
        if not found and name not in engine.ACCEPTABLE:
            raise WrongUsage(f"no finding {name!r}: muse op-log verify prints the id of each")
        if len({each.kind for each in found}) > 1 or (len(found) > 1 and found[0].kind != name):
            raise WrongUsage(f"{name!r} can mean {', '.join(each.id for each in found[:10])}: write more of the id")
        if found and found[0].kind not in engine.ACCEPTABLE:
            raise WrongUsage(f"{found[0].kind} is not for accepting: {found[0].remedy}")
        chosen += [each for each in found if each.severity == "damage" and each not in chosen]
    return chosen
