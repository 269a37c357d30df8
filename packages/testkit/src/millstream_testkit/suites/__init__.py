"""The demands that each contract makes of a connector, as pytest classes."""
