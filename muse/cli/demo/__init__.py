"""The demo: a live session recorded by several processes at once, and what can be done with it.

`story` tells it, act by act. The edits come from `material` (through `music` and `drafts`) or from a
recorded `trace`; `plan` decides when each is due and which may wait for which; `players` starts the
processes, each of which is an `actor`, and one of which records a replica `apart`.
"""
