"""What goes to a server and comes from it.

stream    the stream of a space: made, counted, read, written to
link      one connection; the only module that imports `nats`
messages  the layout of messages: pure
"""
