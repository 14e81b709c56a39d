"""Entries as they arrive, from any process.

position        a byte offset between two lines, and the cuts and op_ids that name one
feed            what has arrived after a position, page by page, and how long to wait for more
follower        waiting in a thread
async_follower  waiting in an event loop
"""
