"""The commands `export` and `import`: a session as one file."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import click

from muse.cli.engine import engine
from muse.cli.options.guard import guard_options, note_would_refuse
from muse.cli.options.repository import has_sessions, note_first_session
from muse.cli.options.session import json_option, note_damaged_lines, repo_of, repo_option, session_log
from muse.cli.output.failures import BadDataFound, WrongUsage
from muse.cli.output.file import named_file, written_whole
from muse.cli.output.printing import note, pluralize, print_json, print_table, tally
from muse.cli.output.progress import ProgressBar
from muse.cli.output.streams import output_that_must_arrive

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    "export",
    short_help="Write a session into one file.",
    epilog="\b\n"
    "Examples: hand a session to a colleague; copy it to another machine; ask questions with SQL.\n"
    "  muse op-log export demo demo.tar.gz\n"
    "  muse op-log export demo - | ssh elsewhere 'cd project && muse op-log import -'\n"
    "  muse op-log export demo -o demo.db",
)
@session_log
@click.argument("file", required=False, type=_FILE)
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="The same as FILE behind SESSION.")
@click.option(
    "--format",
    "wanted",
    type=click.Choice(["archive", "sqlite"]),
    help="What to write; default: sqlite if FILE ends in .db, .sqlite or .sqlite3, else archive.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option("one object, the manifest of the archive or the counts of the database; not with FILE -")
def export_command(
    log: engine.OpLog, file: Path | None, output: Path | None, *, wanted: str | None, force: bool, as_json: bool
) -> None:
    """Write SESSION, as it is now, into FILE. Writers may go on meanwhile. FILE appears whole, or not at all.

    An archive is a gzip-compressed tar with the log and its checkpoint, which `import` reads; - is standard output.

    A SQLite database is for analysis: a row for each entry, its operation as JSON and in columns, full-text search.
    """
    target = file or output
    if target is None or (file and output):
        raise WrongUsage("name one FILE, behind SESSION or with -o")
    is_database = target.suffix.lower() in (".db", ".sqlite", ".sqlite3") if wanted is None else wanted == "sqlite"
    write = _export_database if is_database else _export_archive
    write(log, target, force=force, as_json=as_json)


def _export_archive(log: engine.OpLog, file: Path, *, force: bool, as_json: bool) -> None:
    to_pipe = str(file) == "-"
    if to_pipe and as_json:
        raise WrongUsage("--json prints to standard output, where the archive would go: name a FILE")
    if to_pipe and sys.stdout.isatty():
        raise WrongUsage("an archive is not for a terminal: name a FILE, or send standard output elsewhere")
    bar = ProgressBar(f"exporting {log.session_id}", "bytes")
    with _destination(file, repo_of(log), force=force) as out, bar:
        manifest = engine.export_session(log, out, progress=bar)
    damaged = note_damaged_lines(log)
    named = "standard output" if to_pipe else file
    if as_json:
        print_json({**manifest.to_dict(), "damaged_lines": damaged})
    note(f"{pluralize(manifest.op_count, 'entry')} of session {log.session_id!r} written to {named}")


def _export_database(log: engine.OpLog, file: Path, *, force: bool, as_json: bool) -> None:
    from muse.analysis_db import write_database

    if str(file) == "-":
        raise WrongUsage("a SQLite database can't be written to standard output: name a FILE")
    bar = ProgressBar(f"exporting {log.session_id}", "bytes")
    with named_file(file, repo_of(log), replace=force), bar:
        made = write_database(log, file, replace=force, progress=bar)
    note_damaged_lines(log)
    if as_json:
        print_json({"format": "sqlite", "file": str(file), "size_bytes": file.stat().st_size, **made.to_dict()})
    note(f"{pluralize(made.op_count, 'entry')} of session {log.session_id!r} written to {file}")
    if made.passed_over:
        note(f"lines without an entry: {tally(made.passed_over)}")
    if made.problem:
        note(f"checkpoint: {made.problem}")


@contextmanager
def _destination(file: Path, repo: Path, *, force: bool) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        with output_that_must_arrive() as out:
            yield out
    else:
        with written_whole(file, repo, replace=force) as aside, open(aside, "wb") as out:
            yield out


@click.command(
    "import",
    short_help="Make a session of such a file.",
    epilog="\b\n"
    "Examples: take over a session; under another id, beside one that exists.\n"
    "  muse op-log import demo.tar.gz\n"
    "  muse op-log import demo.tar.gz demo-of-ada",
)
@click.argument("file", type=click.File("rb"))
@click.argument("session", required=False)
@guard_options("take over all the same, and count,")
@json_option("one object: session_id, would_refuse and the manifest")
@repo_option
def import_command(
    file: IO[bytes], session: str | None, repo: Path, *, guard: engine.Guard | None, as_json: bool
) -> None:
    """Make a session of FILE, which `export` wrote, under the id it had or as SESSION; - is standard input.

    A session that exists is never overwritten. Every byte is held against the digests in FILE first: the
    session appears whole, or not at all.
    """
    source = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("Any", file))
    beginning, is_first = source.peek(), not has_sessions(repo)
    try:
        with ProgressBar("importing", "bytes") as bar:
            manifest = engine.import_session(repo, source, session_id=session, progress=bar)
    except engine.ArchiveError as error:
        raise BadDataFound(_what_it_is(beginning) or str(error)) from None
    except engine.MuseError:
        raise
    except OSError as error:
        # It has no name if a write failed, or that of a file in the folder in which an import is prepared.
        raise OSError(error.errno, error.strerror, str(repo / ".muse" / "op_log")) from error
    name = manifest.session_id if session is None else session
    would_refuse = 0
    if guard is not None:
        with engine.OpLog(repo, name) as log:
            would_refuse = engine.count_refused(guard, log.path, log)
    if as_json:
        print_json({"session_id": name, "would_refuse": would_refuse, "manifest": manifest.to_dict()})
    else:
        print_table(("SESSION", "OPS"), [(name, manifest.op_count)], right=("OPS",))
    if is_first:
        note_first_session(repo)
    note_would_refuse(would_refuse)
    note(f"{pluralize(manifest.op_count, 'entry')} imported into session {name!r} of {repo}")


def _what_it_is(beginning: bytes) -> str:
    """What a file that is no archive is, by its first bytes, and what can be done with it; "" if they don't tell."""
    plain, is_zipped = beginning, False
    with suppress(zlib.error):
        plain, is_zipped = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(beginning, 1 << 12), True
    is_manifest = plain.startswith(b"manifest.json\0")
    kinds = {
        "": is_manifest and is_zipped,
        "the archive is not compressed any more: compress it again with gzip": is_manifest,
        "the file is empty": not beginning,
        "the file holds JSON lines and is no archive: muse op-log append SESSION FILE": plain.lstrip(
            b"\xef\xbb\xbf \t\r\n"
        ).startswith(b"{"),
        "the file is a tar that export did not write: unpack it, and append the ops.jsonl in it: "
        "muse op-log append SESSION ops.jsonl": plain[257:262] == b"ustar",
        "the file is a database for analysis, which can't be imported: export an archive": plain.startswith(b"SQLite"),
    }
    return next((text for text, is_it in kinds.items() if is_it), "")
