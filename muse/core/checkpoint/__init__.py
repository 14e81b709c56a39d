"""Which part of a session has been committed.

record       `checkpoint.json`: read, checked, written
cut          a prefix of the log; the cut that a record stands for
"""
