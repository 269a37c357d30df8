"""The version of the distribution `millstream-testkit`."""

__version__ = "0.1.0"
