"""Muse: version control for any domain. This distribution holds its op log."""
