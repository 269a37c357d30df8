"""assign_timestamps_and_watermarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.errors import MillstreamError
from millstream.records import MAX_TIMESTAMP
from millstream.runtime.event_time import EventTime
from millstream.runtime.operators.base import Operator
from millstream.runtime.operators.policy import ErrorPolicy

if TYPE_CHECKING:
    from millstream.contracts.on_error import OnError
    from millstream.contracts.watermarks import WatermarkStrategy
    from millstream.records import RecordBatch

_ONLY = "input"


class TimestampsOperator(Operator):
    """Stamps records and makes watermarks; upstream watermarks end here, except the one that ends the stream."""

    def __init__(self, strategy: WatermarkStrategy[Any], on_error: OnError) -> None:
        self._strategy = strategy
        self._on_error = on_error

    def open(self) -> None:
        self._policy = ErrorPolicy(self._on_error, self.context, self.output, "numRecordsFailed")
        self._event_time = EventTime(self._strategy, self.output, self.context.clock, self.watermark, self._emit)
        self._event_time.add_split(_ONLY)
        if self._event_time.makes_watermarks:
            self._schedule()

    def _schedule(self) -> None:
        self.context.schedule(self.context.clock.monotonic_s() + self.context.watermark_interval_s, self._tick)

    def _tick(self) -> None:
        if self.watermark != MAX_TIMESTAMP:
            self._event_time.tick()
            self._schedule()

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        self._records_in.count += len(batch.values)
        try:
            self._event_time.process(_ONLY, batch.values, batch.timestamps, None if self._policy.fails else self._set_aside)
        except MillstreamError:
            raise
        except Exception as error:
            culprit = self._event_time.culprit(batch.values, batch.timestamps)
            raise self._failure(self._strategy.timestamps or self._strategy.generator, error, culprit, self.context.origin.text()) from error
        self.watermark = self._event_time.valve.watermark

    def _set_aside(self, value: Any, error: Exception) -> None:
        self._policy.set_aside(value, f"{type(error).__name__}: {error}")

    def process_watermark(self, timestamp: int) -> None:
        if timestamp == MAX_TIMESTAMP:
            self.watermark = timestamp
            self._event_time.end()

    def held_back(self) -> None:
        self._event_time.held_back()

    def process_status(self, idle: bool) -> None:
        """Idleness is judged here anew, by the records that come."""


@dataclass(frozen=True)
class TimestampsSpec:
    """assign_timestamps_and_watermarks."""

    strategy: WatermarkStrategy[Any]
    on_error: OnError = "fail"
    keeps_state: bool = False

    def create(self) -> TimestampsOperator:
        return TimestampsOperator(self.strategy, self.on_error)
