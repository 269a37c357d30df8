"""Logging with job, operator and subtask in every line, also in lines that user functions log."""

from __future__ import annotations

import logging
import threading
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)-7s [%(job)s | %(operator)s | %(subtask)s] %(name)s: %(message)s"
_NOWHERE: Final = ("-", "-", "-")
_current = threading.local()


class LoggingScope:
    """Names the task that runs on this thread, for the length of a `with` block."""

    __slots__ = ("_before", "_names")

    def __init__(self, names: tuple[str, str, str]) -> None:
        self._names = names
        self._before = _NOWHERE

    def __enter__(self) -> None:
        self._before = getattr(_current, "names", _NOWHERE)
        _current.names = self._names

    def __exit__(self, *_: object) -> None:
        _current.names = self._before


def logging_scope(job: str, operator: str, subtask: int) -> LoggingScope:
    """A scope for one subtask."""
    return LoggingScope((job, operator, str(subtask)))


def job_logging_scope(job: str) -> LoggingScope:
    """A scope for what coordinates a job; its tasks have their own inside it."""
    return LoggingScope((job, "-", "-"))


class ScopeFilter(logging.Filter):
    """Adds `job`, `operator` and `subtask` to every record that passes a handler; `-` for operator and subtask outside a task."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.job, record.operator, record.subtask = getattr(_current, "names", _NOWHERE)
        return True


def configure_logging(level: str) -> None:
    """Sends log lines of at least `level` to stderr, with the scope. For programs; libraries leave logging alone."""
    handler = logging.StreamHandler()
    handler.addFilter(ScopeFilter())
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def is_configured() -> bool:
    """Whether `configure_logging` was called."""
    return any(isinstance(entry, ScopeFilter) for handler in logging.getLogger().handlers for entry in handler.filters)
