"""Work on whole sessions.

verify       the full check: log, index, checkpoint
findings     what it can find, and what to do about each
archive      a session as one file, and back
summary      one summary for each session of a repository
"""
