"""The log as bytes: files, folders, lines. Knows nothing of the index."""
