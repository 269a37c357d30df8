"""The version of the distribution `millstream-prometheus`."""

__version__ = "0.1.0"
