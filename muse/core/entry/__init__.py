"""What an entry is: its fields, what is refused, and the line it becomes."""
