"""What a host remembers of a replicated session: what it has received and sent, in memory and on disk.

folder      the files on disk, and the lock that only one process may hold
save_point  where to go on after a restart
redactions  which redactions the stream has, and what is sent once more
note        who commits
ledger      what was received and what was sent during a round: pure
"""
