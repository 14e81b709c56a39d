"""The sidecar index `index.db`: immutable blocks that tile the log, a readable tail, and evidence.

    blocks/      segments, op_id runs and links as bytes: packing and unpacking, no SQL
    guard        opening an index that somebody may have made to do harm
    file         `index.db` as a file: opened, transactions on it, a new one put in its place
    tail         the newest lines, a plain row each
    fold         lines become a segment, runs of one size become a larger one
    store        what one handle knows of an index: runs, segments, the tail in memory
    query        questions: pages of entries, counts, totals
    evidence     whether it is this log's; what it has seen, and a rebuild from the log would forget
    rebuild      a whole log becomes an index, in worker processes if asked to
    workers      processes that a rebuild may use
    catch_up     keeps it in step with the log: the states and the recovery loop

The six invariants stand in `store`. docs/format.md describes every byte.
"""
