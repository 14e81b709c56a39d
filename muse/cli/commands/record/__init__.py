"""Commands that add entries to a session."""
