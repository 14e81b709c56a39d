"""A session as a SQLite database made for analysis: `muse op-log export SESSION -o FILE.db`.

    entry        one row for each entry, in arrival order
    entry_fts    full-text search over the text of each entry's operation
    child_op     one row for each operation that is nested in another one's `child_ops`
    parent       one row for each causal link
    passed_over  one row for each line that gave no entry
    session      one row: which session, how far and when it was exported, its checkpoint
    operation    a view: the operations of `entry` and of `child_op` together
    pending      a view: the entries that arrived after the checkpoint

The log stays the only truth: the database is a copy of what lay below one cut, and is never read back.
docs/notebooks.md, "The database", describes the columns.

`write` makes the pass, `lines` tells where each entry lies, `tables` makes the rows, `new_file` the file.
"""

from muse.analysis_db.write import DatabaseSummary, write_database

__all__ = ["DatabaseSummary", "write_database"]
