"""`millstream demo kafka`: readings of sensors through a real broker, exactly once."""
