"""What travels through a channel: batches of records and, between them, the events that give them order and time.

Event time is an integer count of milliseconds since the epoch, UTC. Inside a batch the records are parallel lists, never
one object per record: an envelope would cost more than most user functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")

MIN_TIMESTAMP: Final = -(2**63)
"""The watermark before any watermark."""

MAX_TIMESTAMP: Final = 2**63 - 1
"""The watermark that ends a stream: nothing follows, every window and timer fires."""


class RecordBatch(Generic[T]):
    """Consecutive records of one channel.

    Attributes:
        values: the records, in order; never empty when it is emitted. The list belongs to whoever receives the batch.
        timestamps: event time of each record in ms, or None when the stream carries none. All records or none.
        highest: no timestamp is above it; None where that is not known. Saves a look at all of them; equality ignores it.
    """

    __slots__ = ("highest", "timestamps", "values")

    def __init__(self, values: list[T], timestamps: list[int] | None = None, highest: int | None = None) -> None:
        self.values = values
        self.timestamps = timestamps
        self.highest = highest

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"RecordBatch(values={self.values!r}, timestamps={self.timestamps!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordBatch):
            return NotImplemented
        return bool(self.values == other.values and self.timestamps == other.timestamps)

    __hash__ = None  # type: ignore[assignment]  # a batch holds lists


@dataclass(frozen=True, slots=True)
class Watermark:
    """No record with a timestamp at or below `timestamp` is expected after it."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class WatermarkStatus:
    """Whether the channel takes part in the watermark at present."""

    idle: bool


@dataclass(frozen=True, slots=True)
class Barrier:
    """Separates the records of one checkpoint from those of the next.

    Attributes:
        checkpoint_id: strictly increasing over the life of a job, never reused.
        timestamp_ms: when the coordinator triggered it.
        aligned: False in at-least-once mode: channels are not blocked while the other barriers are awaited.
        last: the job ends with this checkpoint: nothing is processed behind it.
        savepoint: location of the savepoint that is to be written, together with a checkpoint of the job's own if `last`; else empty.
    """

    checkpoint_id: int
    timestamp_ms: int
    aligned: bool = True
    last: bool = False
    savepoint: str = ""


@dataclass(frozen=True, slots=True)
class EndOfInput:
    """No record or watermark follows; barriers still do, until the last checkpoint."""


Element: TypeAlias = "RecordBatch[Any] | Watermark | WatermarkStatus | Barrier | EndOfInput"
