"""Replication under random harm: hosts and servers killed, cut off, wiped and rolled back, logs put back from copies.

`nox -s replicas -- --rounds N` runs as many rounds as wanted; a short one is in the default suite.
"""
