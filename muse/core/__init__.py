"""The op log engine; `muse.core.op_log` is its public face, and all that is imported from outside.

The rooms, from the public class down; each imports only what stands below it:

    op_log        the class `OpLog`: hands every call on to a room below
    writer        write path: drop duplicates, append in one write, index
    collapse      a slice of the log becomes a `StructuredDelta`
    checkpoint/   cuts of the log, and the record that says which cut was committed
    history/      causal history: what depends on what
    follow/       waiting for entries that arrive
    maintenance/  whole sessions: verify, export and import, forks, summaries
    paging        entries page by page, the handle free in between
    batch         entries that were checked, and the lines they become
    index/        the SQLite index: derived from the log, fed with lines, never asked instead of it
    storage/      the log as bytes: files, folders, lines
    entry/        what an entry is, what is refused, the line it becomes
    clock         the Lamport clock of one handle
    handle_lock   the lock of one handle: threads, closing, forks
    options       limits of the format, and what can be tuned
    errors        every error

An entry on its way in: `OpLog.append` → `encode_entry` (entry/codec) → `Writer` (no duplicate?) → `LogFile.append`, one
write(2) → `CatchUp.index_entry` → one row of the tail (index/tail). A question on its way out: `CatchUp.catch_up` takes
in what others have appended → index/query names locations → storage/reader fetches their lines from the log, and holds
each against its checksum.

What is always true: the JSONL file is the only truth, append-only but for redactions, which move no byte; an
acknowledged entry is in it; the index covers a prefix of it and can be deleted at any moment; damage costs the damaged
line alone.
"""
