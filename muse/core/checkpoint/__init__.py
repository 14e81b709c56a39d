"""Cuts of a log, and the record that says which cut was committed."""
