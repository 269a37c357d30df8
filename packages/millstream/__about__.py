"""The version of the distribution `millstream`."""

__version__ = "0.1.0"
