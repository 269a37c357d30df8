"""Timestamps and watermarks where they are made: per split in a source, per subtask behind assign_timestamps_and_watermarks."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from millstream.contracts.watermarks import BatchWatermarkGenerator, TimestampAssigner, WatermarkGenerator, WatermarkStrategy
from millstream.errors import InvalidTimestamp
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream.runtime.watermarks import WatermarkValve

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.ports import Clock
    from millstream.runtime.operators.base import Output


class _SplitClock:
    """Event time of one split."""

    __slots__ = ("generator", "quiet_since_s", "silent", "watermark")

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.watermark = MIN_TIMESTAMP
        self.silent = True
        self.quiet_since_s: float | None = None

    def emit_watermark(self, timestamp: int) -> None:
        """WatermarkOutput for generators: remembers the highest."""
        self.watermark = max(self.watermark, timestamp)


class EventTime:
    """Stamps batches, lets them go, and sends watermarks behind them.

    Idleness is noticed at the periodic ticks only: a split is idle at the first tick more than the timeout after the first tick that saw
    no new record. The timer does not run while the task is held back by its consumers.

    Attributes:
        held: splits that are not read because they are too far ahead: their silence proves nothing either (FLINK-35886).

    Args:
        strategy: where timestamps and watermarks come from.
        output: of the operator.
        start: the watermark to go on from.
        emit: sends a batch, counted: values, timestamps, and what none of these is above.
    """

    def __init__(
        self,
        strategy: WatermarkStrategy[Any],
        output: Output,
        clock: Clock,
        start: int,
        emit: Callable[[list[Any], list[int] | None, int | None], None],
    ) -> None:
        self._strategy = strategy
        self._output = output
        self._clock = clock
        self._emit = emit
        self._assign = _assigner(strategy)
        self._notices_silence = strategy.idleness_ms is not None
        self._splits: dict[str, _SplitClock] = {}
        self._ended: str | None = None
        self.held: set[str] = set()
        self.valve: WatermarkValve[str] = WatermarkValve(start=start)

    @property
    def makes_watermarks(self) -> bool:
        """Whether ticks have anything to do."""
        return self._strategy.generator is not None

    def add_split(self, split_id: str) -> None:
        """A split is being read from now on."""
        if split_id not in self._splits:
            generator = self._strategy.generator
            self._splits[split_id] = _SplitClock(generator() if generator else None)
            self._was_idle(self.valve.idle, lambda: self._replace_ended(split_id))

    def _replace_ended(self, split_id: str) -> None:
        self.valve.add(split_id)
        if self._ended is not None:
            self._remove(self._ended)
            self._ended = None

    def remove_split(self, split_id: str) -> None:
        """A split is at its end: it holds nothing back any more. The last one keeps its watermark until another comes."""
        if split_id not in self._splits:
            return
        if len(self._splits) == 1:
            self._ended = split_id
        else:
            self._was_idle(self.valve.idle, lambda: self._remove(split_id))

    def _remove(self, split_id: str) -> None:
        del self._splits[split_id]
        self._send(self.valve.remove(split_id))

    def _sift(self, values: list[Any], timestamps: list[int] | None, failed: Callable[[Any, Exception], None]) -> tuple[list[Any], list[int] | None]:
        """The records, and their timestamps so far, on which the timestamp assigner does not raise; the others go to `failed`."""
        kept: list[int] = []
        for position, value in enumerate(values):
            try:
                if self._assign is not None:
                    self._assign([value], None if timestamps is None else [timestamps[position]])
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                failed(value, error)
            else:
                kept.append(position)
        return [values[position] for position in kept], None if timestamps is None else [timestamps[position] for position in kept]

    def culprit(self, values: list[Any], timestamps: list[int] | None) -> Any:
        """The first record that the timestamp assigner fails on; all of them when it is not the assigner that fails."""
        if self._assign is not None:
            for position, value in enumerate(values):
                try:
                    self._assign([value], None if timestamps is None else [timestamps[position]])
                except Exception:  # noqa: BLE001 - whatever it was, it has been raised before
                    return value
        return values

    def process(self, split_id: str, values: list[Any], timestamps: list[int] | None, failed: Callable[[Any, Exception], None] | None = None) -> None:
        """Emits the records of one split and the watermark that follows from them.

        `failed` takes the records on which the timestamp assigner raises; without it, what it raises is raised.
        """
        try:
            stamps = timestamps if self._assign is None else self._assign(values, timestamps)
        except Exception:
            if failed is None:
                raise
            values, timestamps = self._sift(values, timestamps, failed)
            if values:
                self.process(split_id, values, timestamps)
            return
        split = self._splits[split_id]
        split.silent = False
        if self._notices_silence and (split.quiet_since_s is not None or self.valve.is_idle(split_id)):
            split.quiet_since_s = None
            self._was_idle(self.valve.idle, lambda: self.valve.mark_active(split_id))
        generator = split.generator
        if stamps is None:
            self._emit(values, None, None)
            return
        highest = _highest(values, stamps)
        if generator is None:
            self._emit(values, stamps, highest)
            return
        if isinstance(generator, BatchWatermarkGenerator):
            self._emit(values, stamps, highest)
            split.watermark = max(split.watermark, generator.on_batch(highest))
        else:
            self._process_punctuated(split_id, split, values, stamps, highest)
        self._send(self.valve.advance(split_id, split.watermark))

    def _process_punctuated(self, split_id: str, split: _SplitClock, values: list[Any], stamps: list[int], highest: int) -> None:
        """Cuts the batch behind each record after which the generator emits."""
        generator: WatermarkGenerator[Any] = split.generator
        sent = 0
        for index, (value, stamp) in enumerate(zip(values, stamps, strict=True)):
            before = split.watermark
            generator.on_event(value, stamp, split)
            if split.watermark > before:
                self._emit(values[sent : index + 1], stamps[sent : index + 1], highest)
                sent = index + 1
                self._send(self.valve.advance(split_id, split.watermark))
        self._emit(values[sent:], stamps[sent:], highest)
        generator.on_periodic_emit(split)

    def tick(self) -> None:
        """The periodic look, while records may be missing."""
        idle_ms = self._strategy.idleness_ms
        now_s = self._clock.monotonic_s()
        for split_id, split in list(self._splits.items()):
            if isinstance(split.generator, WatermarkGenerator):
                split.generator.on_periodic_emit(split)
                self._send(self.valve.advance(split_id, split.watermark))
            if idle_ms is None:
                continue
            if split_id in self.held:
                split.quiet_since_s = None
            elif not split.silent:
                split.silent, split.quiet_since_s = True, None
            elif split.quiet_since_s is None:
                split.quiet_since_s = now_s
            elif (now_s - split.quiet_since_s) * 1000 > idle_ms:
                self._was_idle(self.valve.idle, lambda split_id=split_id: self._send(self.valve.mark_idle(split_id)))  # type: ignore[misc]

    def held_back(self) -> None:
        """The task could not read because its consumers have no room: silence proves nothing."""
        for split in self._splits.values():
            split.silent, split.quiet_since_s = False, None

    def split_watermarks(self) -> dict[str, int]:
        """How far each split has come that is being read."""
        return {split_id: split.watermark for split_id, split in self._splits.items() if split_id != self._ended}

    def nothing_to_read(self) -> None:
        """The subtask has no split and may never have one: it must not hold anybody back."""
        if not self._splits and not self.valve.idle:
            self.valve.idle = True
            self._output.emit_status(True)

    def end(self) -> None:
        """The input has ended: event time is complete."""
        if self.valve.idle:
            self._output.emit_status(False)
        self._output.emit_watermark(MAX_TIMESTAMP)

    def _was_idle(self, before: bool, change: Callable[[], object]) -> None:
        change()
        if self.valve.idle != before:
            self._output.emit_status(self.valve.idle)

    def _send(self, watermark: int | None) -> None:
        if watermark is not None:
            self._output.emit_watermark(watermark)


def _assigner(strategy: WatermarkStrategy[Any]) -> Callable[[list[Any], list[int] | None], list[int]] | None:
    """The strategy's timestamps as a function of whole lists; None when the origin's are kept."""
    function = strategy.timestamps
    if function is None:
        return None
    if isinstance(function, TimestampAssigner):
        extract = function.extract_timestamp

        def with_origin(values: list[Any], timestamps: list[int] | None) -> list[int]:
            return [extract(v, t) for v, t in zip(values, timestamps or repeat(None))]

        return with_origin
    plain = function

    def of_value(values: list[Any], timestamps: list[int] | None) -> list[int]:
        return [plain(value) for value in values]

    return of_value


_UNUSUAL = -(2**62)
"""A batch whose timestamps add up to less is looked at one by one: some of them may be no 64-bit ints."""


def _highest(values: list[Any], stamps: list[int]) -> int:
    """The highest timestamp of a batch. A sum, at a few ns a record, tells whether any of them is no int.

    Raises:
        InvalidTimestamp: one of them is no event time.
    """
    try:
        highest, total = max(stamps), sum(stamps)
    except TypeError:
        check_timestamps(values, stamps)
        raise
    if total.__class__ is not int or highest.__class__ is not int or highest >= MAX_TIMESTAMP or total < _UNUSUAL:
        check_timestamps(values, stamps)
    return highest


def check_timestamps(values: list[Any], stamps: list[int]) -> None:
    """Raises InvalidTimestamp for the first record whose event time is no int in range."""
    for value, stamp in zip(values, stamps, strict=True):
        if type(stamp) is not int or not MIN_TIMESTAMP < stamp < MAX_TIMESTAMP:
            raise InvalidTimestamp.of(value, stamp)
