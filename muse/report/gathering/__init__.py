"""Gathering: reads a session in limited memory, and selects what a report shows of it.

`gather` reads the log; `sample`, `addresses` and `commits` are given one op after the other meanwhile.
"""
