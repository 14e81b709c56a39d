"""What the engine is compared with. Each does the same work with as little as it takes.

Every appending contender writes its first entry (or batch) before the timing, so that files, tables
and connections are there; every SQLite setting is WAL with synchronous NORMAL, unless it says otherwise.
"""
