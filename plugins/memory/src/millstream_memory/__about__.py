"""The version of the distribution `millstream-memory`."""

__version__ = "0.1.0"
