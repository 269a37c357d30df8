"""Timestamps of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError, shorten


@dataclass(kw_only=True, eq=False)
class TimestampsLost(MillstreamError):
    """flat_map_batch on a stream with timestamps: nothing says which of them a result should have."""

    code: ClassVar[str] = "timestamps-lost"
    operator: str
    function: str

    def sentence(self) -> str:
        return (
            f"operator {self.operator!r} got records with timestamps, but nothing says which record a result of its flat_map_batch function "
            f"{self.function} comes from, so the results would have none. Use it in front of assign_timestamps_and_watermarks, or use "
            "map_batch or flat_map, which keep timestamps."
        )


@dataclass(kw_only=True, eq=False)
class MissingTimestamps(MillstreamError):
    """An event-time operator got records without event time."""

    code: ClassVar[str] = "missing-timestamps"
    operator: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} works in event time, but its records carry no timestamps. Put "
            "assign_timestamps_and_watermarks(WatermarkStrategy...with_timestamp_assigner(...)) in front of it, or give the source a strategy."
        )


@dataclass(kw_only=True, eq=False)
class InvalidTimestamp(MillstreamError):
    """A timestamp assigner gave something that is no event time."""

    code: ClassVar[str] = "invalid-timestamp"
    record: str
    timestamp: str

    @classmethod
    def of(cls, value: object, stamp: object) -> InvalidTimestamp:
        """From the record and what the assigner gave for it."""
        return cls(record=shorten(value), timestamp=shorten(stamp))

    def sentence(self) -> str:
        return (
            f"The timestamp assigner gave {self.timestamp} for record {self.record}. Event time is an int: milliseconds since the epoch, UTC, "
            "in 64 bits. For a datetime use int(when.timestamp() * 1000)."
        )
