"""`muse op-log watch`: a live session on one screen.

`arrivals` reads what comes in, `rates` counts it over time, `findings` notices what is wrong, `check`
verifies on request. All of it becomes a `View`, which `picture` draws for any size of screen, and
`screen` puts on the terminal. `command` turns the wheel.
"""
