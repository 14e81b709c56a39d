"""Whole-session work: verify, export and import, summaries."""
