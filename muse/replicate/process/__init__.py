"""The process that does the work of a replica, so that no thread takes the interpreter from whoever records.

parent  the process that is started for a handle, as its program sees it
child   what that process does
worker  the work of one replica, round after round: in that process, or in `muse op-log sync`
"""
