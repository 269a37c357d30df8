"""Sinks that need nothing but Python: printing, dropping, and collecting into a list of the caller.

Guarantee: at least once. None of them can take back what it wrote before a failure.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TextIO, TypeVar

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.errors import InvalidArgument, SinkNotPortable, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

PRINT_CAPABILITIES: Final = SinkCapabilities(kind="plain")
DISCARDING_CAPABILITIES: Final = SinkCapabilities(kind="plain")
COLLECT_CAPABILITIES: Final = SinkCapabilities(kind="plain")


@dataclass(frozen=True)
class PrintSink(Sink[Any]):
    """Prints each record as `str` on a line of standard output.

    With several writers a line begins with the number of its writer, from 1: `2> value`. What the writers print is interleaved batch
    by batch.

    Args:
        identifier: begins each line, to tell several printing sinks apart: `identifier> value`, or `identifier:2> value`.
    """

    identifier: str = ""
    capabilities: SinkCapabilities = field(init=False, default=PRINT_CAPABILITIES, repr=False)

    def open(self, context: SinkContext) -> PrintWriter:
        parts = [self.identifier] if self.identifier else []
        if context.parallelism > 1:
            parts.append(str(context.subtask + 1))
        return PrintWriter(sys.stdout, ":".join(parts) + "> " if parts else "", context.reject)


class PrintWriter(SinkWriter[Any]):
    """Writes a batch at once, so that the lines of several writers do not run into each other."""

    def __init__(self, file: TextIO, prefix: str, reject: Callable[[object, Exception], None]) -> None:
        self._file = file
        self._prefix = prefix
        self._reject = reject

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        try:
            lines = self._lines(values)
        except Exception:  # noqa: BLE001 - some record has no text: which, is found by trying each
            lines = self._lines([value for value in values if self._has_text(value)])
        self._file.write(lines)
        self._file.flush()

    def _lines(self, values: Sequence[Any]) -> str:
        prefix = self._prefix
        lines = "".join([f"{prefix}{value!s}\n" for value in values])
        if not lines.isascii():
            # What the output's encoding lacks is the record's fault, unlike an output that is closed or full.
            lines.encode(self._file.encoding or "utf-8", self._file.errors or "strict")
        return lines

    def _has_text(self, value: object) -> bool:
        try:
            self._lines([value])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the record's fault: nothing was printed yet
            self._reject(value, error)
            return False
        return True

    def flush(self) -> None:
        self._file.flush()


@dataclass(frozen=True)
class DiscardingSink(Sink[Any]):
    """Drops each record: for jobs that are run for their side effects, or to be measured."""

    capabilities: SinkCapabilities = field(init=False, default=DISCARDING_CAPABILITIES, repr=False)

    def open(self, context: SinkContext) -> DiscardingWriter:
        return DiscardingWriter()


class DiscardingWriter(SinkWriter[Any]):
    """Does nothing."""

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        """Drops the records."""

    def flush(self) -> None:
        """Nothing is kept."""


class Extendable(Protocol[T_contra]):
    """Takes records: a list, a deque, or a queue with such a method."""

    def extend(self, values: Iterable[T_contra], /) -> None:
        """Appends all values. Called on the thread of the writer, and by several of them when the sink has several."""


@dataclass(frozen=True, eq=False)
class CollectSink(Sink[T]):
    """Appends each record to a buffer of the caller, batch by batch.

    It works inside the caller's process only, by design: it refuses to be pickled, as records would silently go to a copy elsewhere.

    Args:
        buffer: a list, a deque, or anything else with `extend`; read from another thread, it must stand that.

    Raises:
        InvalidArgument: `buffer` has no `extend`.
    """

    buffer: Extendable[T] = field(repr=False)
    capabilities: SinkCapabilities = field(init=False, default=COLLECT_CAPABILITIES, repr=False)

    def __post_init__(self) -> None:
        if not callable(getattr(self.buffer, "extend", None)):
            raise InvalidArgument(what="CollectSink(buffer=...)", value=shorten(self.buffer), allowed="a list, or anything with extend()")

    def __reduce__(self) -> NoReturn:
        raise SinkNotPortable(sink="CollectSink", reason="it appends to a buffer in the memory of the process that made it")

    def open(self, context: SinkContext) -> CollectWriter[T]:
        return CollectWriter(self.buffer)


class CollectWriter(SinkWriter[T]):
    """Appends to the buffer."""

    def __init__(self, buffer: Extendable[T]) -> None:
        self._extend = buffer.extend

    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        self._extend(values)

    def flush(self) -> None:
        """The buffer has everything already."""
