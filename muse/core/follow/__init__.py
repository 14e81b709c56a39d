"""Waiting for entries that arrive."""
