"""The command `undo`: say what would take operations back, and append that with `--yes`."""

from __future__ import annotations

from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.consent import by_option, is_agreed, yes_option
from muse.cli.options.filters import filter_options, note_unmatched
from muse.cli.options.moments import bounds, find_op, moment_options
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.describing import description

_SHORT_ID = 8


@click.command(
    short_help="Take operations back by appending their inverses.",
    epilog="\b\n"
    "Examples: see what would undo all that an agent did since lunch; do it; undo one operation.\n"
    "  muse op-log undo demo --actor agent-7 --since 2026-05-03T12:00\n"
    "  muse op-log undo demo --actor agent-7 --since 2026-05-03T12:00 --yes\n"
    "  muse op-log undo demo 9b2c7d51 --yes",
)
@session_log
@click.argument("op_id", nargs=-1)
@filter_options
@moment_options
@by_option("The actor that undoes; default: the name of the user.")
@click.option("--force", is_flag=True, help="Also if others worked on the same address later.")
@yes_option
@json_option("one object: session_id, by, applied, undone (op_ids, the newest first), ops")
def undo(
    log: engine.OpLog,
    op_id: tuple[str, ...],
    *,
    filters: dict[str, Any],
    moments: dict[str, str | None],
    by: str,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Undo the operations of SESSION that have an OP_ID or begin with it, or else those that match all given options.

    For each the operation that takes it back is appended, the newest first; nothing is removed. Before that it is
    shown what would be appended. What is undone already is passed over, and to undo an undo is to redo. If somebody
    worked on the same address later, nothing is undone, and that operation is named. The six kinds of operations of
    muse.domain can be undone; for others see OpLog.undo.
    """
    from muse.undo import NoInverseError, UndoConflictError, plan_undo

    is_chosen = any(value is not None and value is not False for value in (*filters.values(), *moments.values()))
    if bool(op_id) == is_chosen:
        raise WrongUsage("say what to undo: either OP_IDs, or options such as --actor, --intent or --since")
    entries = [find_op(log, each.lower()) for each in op_id]
    if not op_id:
        entries = list(log.query(**filters, **bounds(log, moments)))
    try:
        planned = plan_undo(log, entries, force=force)
    except (NoInverseError, UndoConflictError) as error:
        raise WrongUsage(str(error)) from None
    if not as_json:
        rows = (
            (entry["op_id"][:_SHORT_ID], entry["actor_id"], entry["domain"], *description(op)) for entry, op in planned
        )
        print_table(("UNDOES", "OF", "DOMAIN", "OP", "ADDRESS", "WHAT"), rows)
    is_done = bool(planned) and is_agreed(f"Undo {pluralize(len(planned), 'operation')} as {by}?", yes=yes)
    if is_done:
        # While the question stood there, others may have undone some of them.
        made = log.undo([entry for entry, _ in planned], by=by, force=force)
        undone, ops = [entry["parent_op_ids"][0] for entry in made], [entry["domain_op"] for entry in made]
    else:
        undone, ops = [entry["op_id"] for entry, _ in planned], [op for _, op in planned]
    if as_json:
        print_json({"session_id": log.session_id, "by": by, "applied": is_done, "undone": undone, "ops": ops})
    passed_over = len(entries) - len(undone)
    settled = f"; {passed_over:,} passed over, which are undone already or undo these" if passed_over else ""
    note(f"{pluralize(len(undone), 'operation')} {'undone' if is_done else 'would be undone'}{settled}")
    if not entries:
        note_unmatched(log, filters)
    note_damaged_lines(log)
