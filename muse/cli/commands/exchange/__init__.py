"""Commands that take a session somewhere else: another session, one file, other hosts, an agent."""
