"""The command `append`: append JSON lines from a file or a pipe to a session.

The input is appended in batches, one write each. A batch never waits for input that has not come yet, so a line from
a slow writer is in the log before more input is read.

A line is *named* if it says by itself which operation it is, by an op_id or a key. Such a line may be appended again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, cast

import click

from muse.cli.engine import engine
from muse.cli.input.lines import LONGEST_LINE_BYTES, Line, read_lines
from muse.cli.options.guard import guard_options
from muse.cli.options.repository import has_sessions, note_first_session
from muse.cli.options.session import json_option, repo_option, session_argument
from muse.cli.output.failures import FOUND_DAMAGE, IO_FAILED, exit_with, sigterm_like_ctrl_c
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar

_REQUIRED = ("actor_id", "domain", "domain_op")
_OPTIONAL = ("parent_op_ids", "intent_id", "reservation_id", "created_at", "op_id", "key")


@click.command(
    short_help="Append JSON lines from a file or a pipe.",
    epilog="\b\n"
    "Examples: edits recorded elsewhere; one edit without the fields that are filled in.\n"
    "  muse op-log append demo edits.jsonl\n"
    """  echo '{"actor_id": "ada", "domain": "code", "domain_op": {"op": "x"}}' | muse op-log append demo""",
)
@session_argument
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Go on after a line that is refused: put it aside into a new file in the current folder.",
)
@guard_options("refuse, as a line that is wrong,")
@json_option(
    "one object for each line, as soon as it is in the log: line (its number), op_id and lamport_ts; for a line that "
    "is refused: line and error"
)
@repo_option
def append(
    session: str, file: IO[bytes], repo: Path, *, keep_going: bool, guard: engine.Guard | None, as_json: bool
) -> None:
    """Append the JSON lines of FILE, or of standard input, to SESSION. SESSION is created if it does not exist.

    A line is either a whole entry, or an object with actor_id, domain and domain_op, whose other fields are filled in.
    The latter may also have parent_op_ids, intent_id, reservation_id, created_at, and either op_id or key: the same
    key always becomes the same op_id.

    A line with an op_id or a key can be appended again: an operation that is there already is not added twice. An
    op_id with another actor, domain, operation, parents, intent or reservation than in the log is refused.

    The command stops at the first line that is refused, prints its number and the reason, and ends with exit code 1.
    The lines before it stay in the log. With --keep-going it goes on and also ends with exit code 1,
    or with 3 if a refused line could not be put aside.

    The input is in UTF-8, plain or compressed with gzip.
    """
    with sigterm_like_ctrl_c(), engine.OpLog(repo, session, max_line_bytes=LONGEST_LINE_BYTES, guard=guard) as log:
        appending = _Appending(log, repo, keep_going, as_json)
        try:
            with ProgressBar(f"appending to {session}", "bytes") as bar:
                appending.take_all(file, bar)
        except (Exception, KeyboardInterrupt):
            done, following = pluralize(appending.added, "entry"), appending.following
            note(f"{done} appended before this failure; the first line not acknowledged is line {following}:")
            raise
    appending.report()
    exit_with(appending.exit_code)


@dataclass
class _Made:
    """A line of input, and the entry that it became."""

    line: Line
    entry: engine.OpEntry
    is_whole: bool
    """Whether it had all fields; if not, some are filled in."""
    is_named: bool


class _Stopped(Exception):  # noqa: N818 - always caught here; it ends the reading of input
    """A line was refused, and the command does not keep going."""


@dataclass
class _Appending:
    """Appends input to one log, and knows how far it came. What it has counted as acknowledged is in the log."""

    log: engine.OpLog
    repo: Path
    keep_going: bool
    as_json: bool
    added: int = 0
    following: int = 1
    """The number of the first line that is neither acknowledged nor refused."""
    exit_code: int = 0
    """`FOUND_DAMAGE` after a line was refused, `IO_FAILED` after one could not be put aside."""
    _pending: list[_Made] = field(default_factory=list)
    _acknowledged: int = 0
    _refused: int = 0
    _all_named: bool = True
    """Whether each line acknowledged so far was named."""
    _aside: Path | None = None
    """The file with the refused lines; None if there is none yet."""

    def __post_init__(self) -> None:
        self._is_first_session = not has_sessions(self.repo)

    def take_all(self, file: IO[bytes], bar: ProgressBar) -> None:
        """Append all lines, or those before the first that is refused."""
        size_bytes = _size(file)
        try:
            for lines in read_lines(file):
                self._take(lines)
                if size_bytes:
                    bar(min(file.tell(), size_bytes), size_bytes)
        except _Stopped:
            pass

    def report(self) -> None:
        """Print what was done, and how to go on if a line was refused."""
        already_there = self._acknowledged - self.added
        if self.as_json:
            counts = f"{self.added:,} added, {already_there:,} already there"
            note(f"{pluralize(self._acknowledged, 'line')} acknowledged: {counts}")
        else:
            numbers = ("LINES", "ADDED", "ALREADY THERE")
            row = (self.log.session_id, self._acknowledged, self.added, already_there)
            print_table(("SESSION", *numbers), [row], right=numbers)
        if self._aside:
            note(f"{pluralize(self._refused, 'refused line')} put aside: mend and append {self._aside}")
        elif self._refused and not self.keep_going:
            before = pluralize(self._acknowledged, "good line")
            again = f"go on with line {self.following}: some before it have neither op_id nor key and would be doubled"
            note(
                f"stopped there; {before} before it kept; mend the line and "
                + ("append the whole input again: nothing is doubled" if self._all_named else again)
            )

    def _take(self, lines: list[Line]) -> None:
        for line in lines:
            if line.is_too_long:
                self._refuse(line, f"longer than {LONGEST_LINE_BYTES:,} bytes")
            elif line.content:
                self._take_object(line)
        self._flush()

    def _take_object(self, line: Line) -> None:
        try:
            fields = engine.parse_object(line.content)
            made = _Made(
                line,
                cast("engine.OpEntry", fields),
                is_whole="op_id" in fields and "lamport_ts" in fields,
                is_named="op_id" in fields or "key" in fields,
            )
            if not made.is_whole:
                # A filled-in timestamp must be above all that are in the log. So whole entries, which have their own
                # timestamps, are written before one is chosen.
                if self._pending and self._pending[-1].is_whole:
                    self._flush()
                made.entry = _filled_in(self.log, fields)
        except engine.InvalidArgumentError as refusal:
            self._refuse(line, str(refusal))
        else:
            self._pending.append(made)

    def _flush(self) -> None:
        """Append what is pending, and acknowledge it."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            self._acknowledge(pending, self.log.append_many([made.entry for made in pending]))
        except engine.InvalidEntryError:
            # Nothing of the batch was written. One by one it shows which line is refused, or is there already.
            for made in pending:
                try:
                    self._acknowledge([made], self._append(made))
                except engine.InvalidEntryError as refusal:
                    self._refuse(made.line, str(refusal))

    def _append(self, made: _Made) -> int:
        """Append one entry; returns how many were added."""
        if self._is_there(made):
            return 0
        try:
            return int(self.log.append(made.entry))
        except engine.OpIdConflictError:
            # Another process may have added it just now.
            if self._is_there(made):
                return 0
            raise

    def _is_there(self, made: _Made) -> bool:
        """Whether a line that was filled in repeats an operation of the log, whose entry then takes its place."""
        there = self.log.get(made.entry["op_id"]) if made.is_named and not made.is_whole else None
        if there is None or not engine.same_operation(there, made.entry):
            return False
        made.entry = there
        return True

    def _acknowledge(self, batch: list[_Made], added: int) -> None:
        if self._is_first_session:
            self._is_first_session = False
            note_first_session(self.repo)
        self._acknowledged += len(batch)
        self.added += added
        self.following = batch[-1].line.number + 1
        self._all_named = self._all_named and all(made.is_named for made in batch)
        if self.as_json:
            print_json(
                *(
                    {"line": made.line.number, "op_id": made.entry["op_id"], "lamport_ts": made.entry["lamport_ts"]}
                    for made in batch
                )
            )

    def _refuse(self, line: Line, reason: str) -> None:
        """Acknowledge what came before the line, say why it is refused, and put it aside or stop."""
        self._flush()
        # The further parts of a line that is too long are no news.
        if line.number >= self.following:
            self._refused += 1
            self.exit_code = self.exit_code or FOUND_DAMAGE
            self.following = line.number + bool(self.keep_going)
            note(f"line {line.number}: {reason}")
            if self.as_json:
                print_json({"line": line.number, "error": reason})
        if not self.keep_going:
            raise _Stopped
        self._put_aside(line)

    def _put_aside(self, line: Line) -> None:
        try:
            if self._aside is None:
                self._aside = _new_file(self.log.folder.name[:100])
            with open(self._aside, "ab") as file:
                file.write(line.text + b"\n" * line.ends)
        except OSError as error:
            # No reason to close the pipe: whoever sent the line has its answer.
            note(f"line {line.number} could not be put aside: {error.strerror}: {self._aside or 'the current folder'}")
            self.exit_code = IO_FAILED


def _new_file(session: str) -> Path:
    """Make a file for refused lines in the current folder; one that is there, which may be the input, is kept."""
    for name in chain([f"{session}.refused.jsonl"], (f"{session}.refused-{number}.jsonl" for number in count(2))):
        try:
            open(name, "xb").close()
        except FileExistsError:
            continue
        return Path(name)
    raise AssertionError("unreachable")


def _size(file: IO[bytes]) -> int:
    """The size of a regular file, 0 for what can't tell how far it was read, such as a pipe."""
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else 0
    except (OSError, AttributeError):
        return 0


def _filled_in(log: engine.OpLog, fields: dict[str, Any]) -> engine.OpEntry:
    """Make an entry of a line that is not whole, filling in what `OpLog.record` would."""
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise engine.InvalidEntryError(f"{missing[0]}: the field is missing")
    # Refuse unknown fields: a misspelt parent_op_ids or an intended timestamp must not be dropped silently.
    unknown = [name for name in fields if name not in (*_REQUIRED, *_OPTIONAL)]
    if unknown:
        raise engine.InvalidEntryError(
            f"{unknown[0]}: not a field of a line that is filled in, which may have {', '.join(_REQUIRED + _OPTIONAL)}"
            + ("; a line with a lamport_ts is a whole entry and needs an op_id" if unknown[0] == "lamport_ts" else "")
        )
    if "op_id" in fields and "key" in fields:
        raise engine.InvalidEntryError("key: give a key or an op_id, not both")
    entry = engine.make_op_entry(
        fields["actor_id"],
        fields["domain"],
        fields["domain_op"],
        log.next_lamport_ts(),
        intent_id=fields.get("intent_id", ""),
        reservation_id=fields.get("reservation_id", ""),
    )
    given = {name: fields[name] for name in ("parent_op_ids", "created_at", "op_id") if name in fields}
    if "key" in fields:
        given["op_id"] = engine.op_id_of(fields["key"])
    return cast("engine.OpEntry", {**entry, **given})
