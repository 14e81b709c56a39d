"""The index that is being replaced."""
