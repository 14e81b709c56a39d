"""`muse op-log watch`: a live session on one screen.

`arrivals` reads new entries, `rates` counts them over time, `findings` collects problems, and `check` verifies the
session on request. Their results become a `View`. `picture` lays it out for a given screen size, and `screen` writes
it to the terminal. `command` runs the loop.
"""
