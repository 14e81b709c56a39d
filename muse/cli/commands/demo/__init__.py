"""The demo: processes record a live session; it is committed, merged with a replica, and checked.

`command` has the options and the folder, `trace` reads the edits, `actors` has the processes that record them, `story`
is what happens and what is checked. The edits are in `session.jsonl`, as any other trace: ada and grace type a round
note by note, lin a program that sings it.
"""
