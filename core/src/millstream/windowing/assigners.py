"""Which windows a record belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from millstream.contracts.watermarks import to_ms
from millstream.errors import InvalidArgument


@dataclass(frozen=True, slots=True, order=True)
class TimeWindow:
    """A span of time.

    Attributes:
        start: first ms that belongs to it.
        end: first ms that does not.
    """

    start: int
    end: int

    @property
    def max_timestamp(self) -> int:
        """Last ms that belongs to it: the timestamp of its results."""
        return self.end - 1


@dataclass(frozen=True)
class TumblingEventTimeWindows:
    """Windows of one size, side by side, in event time.

    Attributes:
        size_ms: length, > 0.
        offset_ms: shift of the starts against the epoch, abs(offset_ms) < size_ms; -8 h makes days of UTC+8.
    """

    size_ms: int
    offset_ms: int = 0

    def __post_init__(self) -> None:
        if self.size_ms <= 0:
            raise InvalidArgument(what="size of a tumbling window", value=f"{self.size_ms} ms", allowed="a duration above zero")
        if abs(self.offset_ms) >= self.size_ms:
            raise InvalidArgument(
                what="offset of a tumbling window", value=f"{self.offset_ms} ms", allowed=f"a duration shorter than the size ({self.size_ms} ms)"
            )

    @staticmethod
    def of(size: timedelta, offset: timedelta | None = None) -> TumblingEventTimeWindows:
        """Windows of `size`, their starts shifted by `offset` (which may be negative)."""
        shift = 0
        if offset is not None:
            negative = isinstance(offset, timedelta) and offset < timedelta(0)
            shift = -to_ms("offset", -offset) if negative else to_ms("offset", offset)
        return TumblingEventTimeWindows(to_ms("size", size), shift)

    def start_of(self, timestamp: int) -> int:
        """Start of the window that holds `timestamp` (ms, also before 1970).

        >>> TumblingEventTimeWindows(10).start_of(-1)
        -10
        """
        return timestamp - (timestamp - self.offset_ms) % self.size_ms
