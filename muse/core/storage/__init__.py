"""The log as bytes. Knows nothing of the index.

descriptor   an open file as an object that closes it when it is dropped
locks        locks between processes, each with a deadline
durable      every system call that makes bytes durable, and what each does not promise
session_dir  session ids and their folders
accepted     accepted.json: findings that an operator accepts
redactions   redacted.json and redacting.json: what was redacted, and what is being overwritten
log_file     `ops.jsonl`: measured, read by range, appended to
scanner      from bytes to judged lines: where it is decided what an entry is
lines        lines column by column, and where a line lies
reader       from locations back to entries, held against their checksums
"""
