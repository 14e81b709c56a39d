"""The command `report`: write a session as one HTML page, one SVG picture, or a trace for Perfetto's viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.engine import engine
from muse.cli.options.repository import git_option, git_target, may_have_commits
from muse.cli.options.session import json_option, note_damaged_lines, repo_of, session_log
from muse.cli.output.failures import WrongUsage
from muse.cli.output.file import written_whole
from muse.cli.output.printing import note, pluralize, print_json
from muse.cli.output.progress import ProgressBar

if TYPE_CHECKING:
    from muse.commit import Committed
    from muse.report.gathering.commits import Commits
    from muse.report.gathering.gather import Gathered


@click.command(
    short_help="Write a page that shows a session.",
    epilog="\b\nExamples: a page to send to a colleague; a trace to open in Perfetto's viewer.\n"
    "  muse op-log report demo -o demo.html\n"
    "  muse op-log report demo --format trace-events -o demo.json",
)
@session_log
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write; an existing regular file is replaced.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["html", "svg", "trace-events"]),
    default="html",
    help="html: the page (default); svg: its diagram, as a picture; trace-events: JSON for Perfetto's viewer.",
)
@git_option("The git repository with the commits to show; default: the one that .muse/ lies in, if it has any.")
@json_option("one object with the file, its size and the counts")
def report(log: engine.OpLog, output: Path, file_format: str, git: Path | None, *, as_json: bool) -> None:
    """Write an HTML page that shows SESSION: who did what and when, and what depends on what.

    The page is one file that needs no network. It is never larger than 3 MB: for a large session it shows counts and
    a sample of the ops, and says so. If there are commits, it shows which ops are in which. The session is not changed.
    """
    from muse.report.gathering.gather import gather

    with written_whole(output, repo_of(log), replace=True) as aside:
        commits = _commits(log, git)
        with ExitStack() as bars:

            def step(what: str) -> Callable[[int, int], None]:
                bars.close()
                unit = "bytes" if what == "verifying" else ""
                return bars.enter_context(ProgressBar(f"{what} {log.session_id}", unit))

            gathered = gather(log, step=step, commits=commits, check=file_format == "html")
        note_damaged_lines(log)
        text = _written(gathered, file_format)
        aside.write_text(text, encoding="utf-8")
    if as_json:
        print_json(
            {
                "session_id": log.session_id,
                "file": str(output),
                "size_bytes": len(text.encode()),
                "ops": gathered.stats.ops,
                "ops_shown": len(gathered.ops),
                "commits": len(gathered.commits.all),
            }
        )
    shown = "every op shown" if gathered.is_whole else f"{pluralize(len(gathered.ops), 'op')} shown"
    note(f"{output}: {pluralize(len(text.encode()), 'byte')}, {pluralize(gathered.stats.ops, 'op')}, {shown}")


def _commits(log: engine.OpLog, git: Path | None) -> Commits:
    """The commits that were asked for; else those of the repository that the session lies in, if there are any."""
    from muse.report.gathering.commits import Commits

    found: Sequence[Committed] = ()
    try:
        if may_have_commits(git, repo_of(log)):
            found = git_target(git, repo_of(log)).commits(log.session_id)
        if git and not found:
            raise WrongUsage(f"no commit of session {log.session_id!r} in {git}")
        return Commits(log, found)
    except (engine.MuseError, click.ClickException) as error:
        if git:
            raise
        note(f"commits are not shown: {error}")
        return Commits(log, ())


def _written(gathered: Gathered, file_format: str) -> str:
    from datetime import UTC, datetime
    from importlib.metadata import version

    from muse.report.page.data import page_data
    from muse.report.page.html import report_page
    from muse.report.svg import diagram_svg
    from muse.report.trace_events import trace_events

    if file_format != "html":
        return diagram_svg(gathered) if file_format == "svg" else trace_events(gathered)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return report_page(page_data(gathered, made_at=made_at, version=version("muse-op-log")))
