"""A plugin that could not be loaded, kept so that it can be listed and named."""

from __future__ import annotations

from dataclasses import dataclass, field
from traceback import TracebackException


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be loaded. Jobs that ask for nothing of it run all the same.

    Attributes:
        dist: distribution it belongs to, and its version.
        entry_point: its name in the entry-point group.
        error: what went wrong, on one line, without a full stop at the end.
        traceback: the same with every line of code that led there.
        offers: role and name of what it had offered before it failed; mostly empty, because it failed before.
        cause: the exception.
    """

    dist: str
    version: str
    entry_point: str
    error: str
    traceback: str
    offers: tuple[tuple[str, str], ...] = ()
    cause: BaseException | None = field(default=None, compare=False, repr=False)


def describe(error: BaseException) -> str:
    """The exception on one line, without a full stop at the end; also if its own `__str__` raises."""
    text = f"{type(error).__name__}: {TracebackException.from_exception(error)}"
    return " ".join(text.split()).rstrip(".:")


def traceback_text(error: BaseException) -> str:
    """The exception as Python prints it."""
    return "".join(TracebackException.from_exception(error).format())
