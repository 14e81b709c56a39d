"""`muse op-log watch`: a live session on one screen.

`arrivals` asks for what is new, `rates` counts it over time, `findings` collects problems, also of a full check. Their
results become a `View`, which `picture` lays out for a given screen size, and `screen` writes to the terminal.
`command` runs the loop.
"""
