"""How event time is found in records, and how far it has come.

A watermark t says that no record with a timestamp <= t is expected any more. All generators here give `highest timestamp - bound - 1`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from millstream.errors import InvalidArgument
from millstream.records import MIN_TIMESTAMP

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def to_ms(what: str, duration: timedelta) -> int:
    """Whole milliseconds of a duration >= 0.

    Raises:
        InvalidArgument: it is no timedelta, negative, or not a whole number of ms.
    """
    if not isinstance(duration, timedelta):
        raise InvalidArgument(what=what, value=repr(duration), allowed="a datetime.timedelta, for example timedelta(seconds=5)")
    ms, rest = divmod(duration, timedelta(milliseconds=1))
    if ms < 0 or rest:
        raise InvalidArgument(what=what, value=repr(duration), allowed="a whole number of milliseconds, not negative")
    return ms


class TimestampAssigner(ABC, Generic[T]):
    """Finds the event time of a record."""

    @abstractmethod
    def extract_timestamp(self, value: T, record_timestamp: int | None) -> int:
        """Event time in ms since the epoch. `record_timestamp` is what the source gave, or None."""


class WatermarkOutput(Protocol):
    """Takes what a generator emits."""

    def emit_watermark(self, timestamp: int) -> None: ...


class WatermarkGenerator(ABC, Generic[T]):
    """Watches the records of one split and says how far event time has come."""

    @abstractmethod
    def on_event(self, value: T, timestamp: int, output: WatermarkOutput) -> None:
        """Called after each record was forwarded. A watermark emitted here comes right behind the record."""

    @abstractmethod
    def on_periodic_emit(self, output: WatermarkOutput) -> None:
        """Called after each source batch, and at the watermark interval while the source is quiet."""


class BatchWatermarkGenerator(ABC):
    """A generator that needs nothing but the highest timestamp of a batch: no call per record."""

    @abstractmethod
    def on_batch(self, highest_timestamp: int) -> int:
        """The watermark after the batch; lower ones than the last are ignored."""


class BoundedOutOfOrdernessWatermarks(BatchWatermarkGenerator):
    """Highest timestamp seen, minus the bound, minus 1."""

    def __init__(self, bound_ms: int) -> None:
        self._behind_ms = bound_ms + 1
        self._highest = MIN_TIMESTAMP + self._behind_ms

    def on_batch(self, highest_timestamp: int) -> int:
        if highest_timestamp > self._highest:
            self._highest = highest_timestamp
        return self._highest - self._behind_ms


@dataclass(frozen=True)
class WatermarkAlignment:
    """How far a source may run ahead of the slowest one of its group.

    Attributes:
        group: sources of one job with the same name wait for each other.
        max_drift_ms: how far the watermark of a split may be ahead of the lowest one of the group, in ms.
        update_interval_ms: how often the readers tell their watermarks and hear of the lowest, in ms.
    """

    group: str
    max_drift_ms: int
    update_interval_ms: int


AnyGenerator: TypeAlias = "WatermarkGenerator[Any] | BatchWatermarkGenerator"
TimestampFunction: TypeAlias = Callable[[T], int]


@dataclass(frozen=True)
class WatermarkStrategy(Generic[T]):
    """Where timestamps come from, how watermarks follow them, and when a silent split stops holding them back.

    Build one with `for_monotonous_timestamps`, `for_bounded_out_of_orderness`, `for_generator` or `no_watermarks`.
    """

    generator: Callable[[], AnyGenerator] | None = None
    timestamps: TimestampFunction[T] | TimestampAssigner[T] | None = None
    idleness_ms: int | None = None
    alignment: WatermarkAlignment | None = None

    @staticmethod
    def no_watermarks() -> WatermarkStrategy[Any]:
        """Timestamps only: event time never advances until the input ends."""
        return WatermarkStrategy()

    @staticmethod
    def for_monotonous_timestamps() -> WatermarkStrategy[Any]:
        """Timestamps never go back within a split: the watermark is the highest minus 1 ms."""
        return WatermarkStrategy(generator=_Bounded(0))

    @staticmethod
    def for_bounded_out_of_orderness(bound: timedelta) -> WatermarkStrategy[Any]:
        """A record may come up to `bound` behind the highest timestamp: the watermark is the highest - bound - 1 ms."""
        return WatermarkStrategy(generator=_Bounded(to_ms("bound", bound)))

    @staticmethod
    def for_generator(generator: Callable[[], AnyGenerator]) -> WatermarkStrategy[Any]:
        """A generator of your own; the factory is called once per split."""
        if not callable(generator):
            raise InvalidArgument(what="the watermark generator", value=repr(generator), allowed="a function without arguments that makes one")
        return WatermarkStrategy(generator=generator)

    def with_timestamp_assigner(self, assigner: Callable[[Any], int] | TimestampAssigner[Any]) -> WatermarkStrategy[Any]:
        """Takes event time from the record: a function of the value, or a TimestampAssigner. Integer ms since the epoch."""
        if not callable(assigner) and not isinstance(assigner, TimestampAssigner):
            raise InvalidArgument(what="the timestamp assigner", value=repr(assigner), allowed="a function of the record, or a TimestampAssigner")
        return replace(self, timestamps=assigner)

    def with_idleness(self, timeout: timedelta) -> WatermarkStrategy[Any]:
        """A split without records for longer than `timeout` (> 0) stops holding the watermark back until it has some again."""
        ms = to_ms("timeout", timeout)
        if ms == 0:
            raise InvalidArgument(what="timeout", value=repr(timeout), allowed="a duration above zero")
        return replace(self, idleness_ms=ms)

    def with_watermark_alignment(self, group: str, max_drift: timedelta, update_interval: timedelta = timedelta(seconds=1)) -> WatermarkStrategy[Any]:
        """What runs ahead in event time waits for the rest: else a join or a window has to keep all that the fastest input brings.

        A split whose watermark is more than `max_drift` above the lowest of the group is not read until the others have caught up; where
        the connector cannot pause a split, the reader waits as a whole, once all its splits are so far ahead. The drift can be higher by
        what is read within an interval. An idle split holds nobody back; one that has had no record yet does: give it an idleness, too.
        Only sources can wait: `assign_timestamps_and_watermarks` refuses such a strategy.

        Args:
            group: sources of the job with this name are aligned with each other, and the splits of one source are, too.
            max_drift: not negative, in whole ms.
            update_interval: between two exchanges of watermarks, above zero, in whole ms.

        Raises:
            InvalidArgument: one of these is out of range, or the strategy makes no watermarks.
        """
        if not isinstance(group, str) or not group:
            raise InvalidArgument(what="the alignment group", value=repr(group), allowed="a name")
        if self.generator is None:
            raise InvalidArgument(
                what="with_watermark_alignment()", value="no_watermarks()", allowed="a strategy that makes watermarks: what it aligns are these"
            )
        interval_ms = to_ms("update_interval", update_interval)
        if interval_ms == 0:
            raise InvalidArgument(what="update_interval", value=repr(update_interval), allowed="a duration above zero")
        return replace(self, alignment=WatermarkAlignment(group, to_ms("max_drift", max_drift), interval_ms))


@dataclass(frozen=True)
class _Bounded:
    """A factory that pickles."""

    bound_ms: int

    def __call__(self) -> BatchWatermarkGenerator:
        return BoundedOutOfOrdernessWatermarks(self.bound_ms)
