"""Entries as they arrive, from any process.

feed      what has arrived after a position, page by page, and how long to wait for more
follower  waiting for it, in a thread or in an event loop
"""
