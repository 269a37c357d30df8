"""The version of the distribution `millstream-core`, read by the build and by `millstream --version`."""

__version__ = "0.1.0"
