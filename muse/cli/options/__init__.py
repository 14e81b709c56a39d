"""What commands have in common on the command line: options, arguments, and what they stand for."""
