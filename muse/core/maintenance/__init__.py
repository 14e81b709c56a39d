"""Work on whole sessions.

verify         the full check: log, index, checkpoint
findings       what it can find, and what to do about each
index_check    an index unpacked, to be compared with another one
redact         the way out of a secret: an operation is overwritten
repair         the way back: what can be appended again, and from where
archive        a session as one file, and back
fork           a session that shares its past with another one
members        a reader of tar files that may be hostile
summary        one summary for each session of a repository
summary_cache  summaries of sessions that have not changed since
"""
