"""Commands that check a session's files, and bring back or redact what is in them."""
