"""The command `ingest`: other tools' JSON lines become a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from muse.cli.engine import engine
from muse.cli.input.growing_file import GrowingFile
from muse.cli.input.lines import LONGEST_LINE_BYTES, Line, read_lines
from muse.cli.options.guard import guard_options
from muse.cli.options.repository import has_sessions, note_first_session
from muse.cli.options.session import json_option, repo_option, session_argument
from muse.cli.output.failures import FOUND_DAMAGE, WrongUsage, exit_with, sigterm_like_ctrl_c
from muse.cli.output.printing import note, pluralize, print_json, print_table, tally
from muse.cli.output.streams import end_if_output_is_lost
from muse.cli.output.together import together

if TYPE_CHECKING:
    from muse.ingest.draft import Mapper
    from muse.ingest.ingestion import IngestedFile, Ingestion

_POLL_SECONDS = 0.2
_MOST_NOTED = 100

_FIELDS = {
    "actor": "Who did it.",
    "domain": "Which domain it belongs to.",
    "op": "The object that becomes the operation; default: the whole line.",
    "time": "When: ISO 8601, or a number since 1970.",
    "id": "What names the operation; default: the line itself and its place among equal ones.",
    "parent": "The id, or the list of ids, that it depends on.",
    "kind": "The operation's kind, its field op.",
}


_OPTIONS = [click.option(f"--{name}", metavar="FIELD", help=what) for name, what in _FIELDS.items()]


@click.command(
    short_help="Make a session of other tools' JSON lines.",
    epilog="\b\n"
    "Examples: a transcript, and one that is being written; lines of a tool of one's own.\n"
    "  muse op-log ingest friday ~/.claude/projects/*/*.jsonl --preset claude-code\n"
    "  muse op-log ingest friday rollout.jsonl --preset codex --follow\n"
    "  muse op-log ingest friday events.jsonl --actor .user --domain shop --kind .event --time .at --id .id",
)
@session_argument
@click.argument("file", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--preset",
    type=click.Choice(["claude-code", "codex", "otel"]),
    help="Transcripts of Claude Code, rollouts of OpenAI Codex, or OpenTelemetry spans in JSON.",
)
@together("fields", dict, *_OPTIONS)
@click.option("--follow", is_flag=True, help="Then go on with what is added to the files, until Ctrl-C.")
@guard_options("refuse, as a line that can't be mapped,")
@json_option(
    "one object for each line that can't be mapped: file, line and error; at the end one object: session_id, lines, "
    "added, already_there, passed_over (by type) and unmapped"
)
@repo_option
def ingest(
    session: str,
    file: tuple[Path, ...],
    repo: Path,
    *,
    preset: str | None,
    follow: bool,
    guard: engine.Guard | None,
    as_json: bool,
    fields: dict[str, str | None],
) -> None:
    """Append to SESSION what the FILEs, JSON lines of another tool, say was done; - is standard input.

    Either a --preset knows the lines, or each FIELD is named: by a path that begins with a dot, such as .user.name or
    .items[0], or as a constant. --actor and --domain are needed then.

    Times and parents are kept. The op_ids are made of the other tool's ids, so ingesting a FILE again, after it has
    grown, adds only what is new.

    A line that can't be mapped is listed with its number and the reason; the command goes on, and ends with exit
    code 1. An operation takes little room: of long texts it has a summary and a SHA-256.
    """
    from muse.ingest.ingestion import Ingestion

    make = _mapper_maker(preset, {name: given for name, given in fields.items() if given is not None})
    if follow and Path("-") in file:
        raise WrongUsage("--follow is for files: standard input is read to its end anyway")
    with sigterm_like_ctrl_c(), engine.OpLog(repo, session, max_line_bytes=LONGEST_LINE_BYTES, guard=guard) as log:
        telling = _Telling(repo, as_json=as_json)
        ingestion = Ingestion(log, telling.unmapped)
        try:
            if follow:
                _follow(ingestion, file, make)
            else:
                for path in file:
                    _read(ingestion, path, make)
        finally:
            telling.report(ingestion, session)
    exit_with(FOUND_DAMAGE if ingestion.unmapped else 0)


def _mapper_maker(preset: str | None, fields: dict[str, str]) -> Callable[[], Mapper]:
    from muse.ingest.claude_code import ClaudeCode
    from muse.ingest.codex import Codex
    from muse.ingest.fields import Fields
    from muse.ingest.otel import OpenTelemetry

    if preset is not None:
        if fields:
            raise WrongUsage(f"--{next(iter(fields))}: --preset {preset} knows the fields: leave one of them out")
        presets: dict[str, Callable[[], Mapper]] = {"claude-code": ClaudeCode, "codex": Codex, "otel": OpenTelemetry}
        return presets[preset]
    for name in ("actor", "domain"):
        if name not in fields:
            raise WrongUsage(f"--{name} is missing: name the field, a constant, or a --preset")
    # Paths that are none are refused before a file is opened.
    Fields(fields)
    return lambda: Fields(fields)


class _Telling:
    """What is printed."""

    def __init__(self, repo: Path, *, as_json: bool) -> None:
        self._repo = repo
        self._is_first_session = not has_sessions(repo)
        self._as_json = as_json
        self._noted = 0

    def unmapped(self, name: str, number: int, reason: str) -> None:
        """A line is not in the log."""
        self._noted += 1
        if self._as_json:
            print_json({"file": name, "line": number, "error": reason})
        if self._noted <= _MOST_NOTED:
            note(f"{name}, line {number}: {reason}")

    def report(self, ingestion: Ingestion, session: str) -> None:
        """What was done, at the end, whatever the end is."""
        if self._is_first_session and ingestion.added:
            note_first_session(self._repo)
        if self._noted > _MOST_NOTED:
            note(f"and {pluralize(self._noted - _MOST_NOTED, 'more line')}: --json lists all")
        passed_over = ingestion.passed_over
        if self._as_json:
            print_json(
                {
                    "session_id": session,
                    "lines": ingestion.lines,
                    "added": ingestion.added,
                    "already_there": ingestion.already_there,
                    "passed_over": dict(passed_over),
                    "unmapped": ingestion.unmapped,
                }
            )
        else:
            numbers = ("LINES", "ADDED", "ALREADY THERE", "NOT MAPPED")
            row = (session, ingestion.lines, ingestion.added, ingestion.already_there, ingestion.unmapped)
            print_table(("SESSION", *numbers), [row], right=numbers)
        if passed_over:
            note(f"lines passed over: {tally(passed_over)}")


def _read(ingestion: Ingestion, path: Path, make: Callable[[], Mapper]) -> None:
    """Ingest a file or standard input to its end."""
    with click.open_file(str(path), "rb") as opened:
        file = ingestion.open(str(path), make())
        begun: list[Line] = []
        for lines in _pretty_printed(read_lines(opened)):
            # The last line may still be being written: only what comes after it can tell.
            whole, begun = ([*begun, *lines[:-1]], lines[-1:]) if _is_begun(lines[-1]) else ([*begun, *lines], [])
            for line in whole:
                _take(ingestion, file, line)
            ingestion.flush()
    for line in begun:
        note(f"{file.name}, line {line.number}: the line is not whole yet: ingest the file again when it is")
    ingestion.end_waiting(file)
    ingestion.flush()


def _is_begun(line: Line) -> bool:
    """Whether it may be the beginning of a line: it is not JSON, so that more would have to come."""
    import orjson

    if not line.content or line.is_too_long:
        return False
    try:
        orjson.loads(line.content)
    except orjson.JSONDecodeError:
        return True
    return False


def _take(ingestion: Ingestion, file: IngestedFile, line: Line) -> None:
    if line.is_too_long:
        if line.ends:
            ingestion.refuse(file.name, line.number, f"longer than {LONGEST_LINE_BYTES:,} bytes")
    elif line.content:
        ingestion.take(file, line.number, line.content)


def _pretty_printed(batches: Iterator[list[Line]]) -> Iterator[list[Line]]:
    """A JSON object over many lines becomes one line: if the input begins with a brace alone on its line."""
    first = next(batches)
    if not first or first[0].content != b"{":
        yield first
        yield from batches
        return
    rest = [line.text for lines in (first, *batches) for line in lines]
    yield [Line(1, b" ".join(rest))]


def _follow(ingestion: Ingestion, paths: tuple[Path, ...], make: Callable[[], Mapper]) -> NoReturn:
    """Ingest the files, and then what is added to them, until an interrupt."""
    with ExitStack() as stack:
        growing = [stack.enter_context(closing(GrowingFile(path))) for path in paths]
        files: list[IngestedFile | None] = [None] * len(growing)
        note(f"following {pluralize(len(growing), 'file')}: Ctrl-C ends it")
        while True:
            moved = False
            for number, source in enumerate(growing):
                lines = source.read()
                file = files[number]
                if file is None or source.began_anew:
                    if file is not None:
                        ingestion.end_waiting(file)
                    file = files[number] = ingestion.open(str(source.path), make())
                for line in lines:
                    _take(ingestion, file, line)
                if not lines:
                    # Caught up: whose parent has not come yet goes without it.
                    ingestion.end_waiting(file)
                moved = moved or bool(lines)
                ingestion.flush()
            end_if_output_is_lost()
            if not moved:
                time.sleep(_POLL_SECONDS)
