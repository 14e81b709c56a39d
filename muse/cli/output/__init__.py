"""What commands print and write, how a failure is told, and with which exit code it ends."""
