"""The version of the distribution `millstream-filesystem`."""

__version__ = "0.1.0"
