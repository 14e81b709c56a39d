"""Which part of a session has been committed.

record       `checkpoint.json`: read, checked, written
covered      what of the log a record covers, as the log is by now
cut          a prefix of the log; the checkpoint, made at one
moments      the cut of an op_id, a timestamp or a time
"""
