"""The demo: several processes record a live session, then the demo shows what can be done with it.

`story` runs the demo act by act. The edits come from `material` (through `music` and `drafts`) or from a recorded
`trace`. `plan` decides when each edit is due and which others it waits for. `players` starts the processes: one
`actor` for each person, and one process that records a second replica offline (`apart`).
"""
