"""What commands read: lines of a file or a pipe, and of a file that grows."""
