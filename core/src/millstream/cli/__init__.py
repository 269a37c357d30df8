"""The command `millstream`."""
