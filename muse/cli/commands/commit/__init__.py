"""Commands that collapse what is pending, and mark or make a commit of it."""
