"""The head of a source task: reads, stamps, and captures positions at barriers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.contracts.source import ReaderContext, Rejected, Source, SourceReader, Split
from millstream.errors import DamagedState, MalformedRecord, MillstreamError, shorten
from millstream.records import MAX_TIMESTAMP
from millstream.runtime.event_time import EventTime
from millstream.runtime.messages import FromEnumerator, NoMoreSplits, NoSplitsYet, SplitsAssigned, WatermarkLimit
from millstream.runtime.operators.aligned import AlignedReader
from millstream.runtime.operators.base import Operator, OperatorSnapshot
from millstream.runtime.operators.policy import ErrorPolicy
from millstream.state.operator import StoredItems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.on_error import OnError
    from millstream.contracts.watermarks import WatermarkAlignment, WatermarkStrategy
    from millstream.runtime.operators.base import OperatorContext

SPLITS = "splits"


class _ReaderContext(ReaderContext):
    def __init__(self, context: OperatorContext) -> None:
        self._context = context
        self.subtask = context.subtask
        self.parallelism = context.parallelism
        self.clock = context.clock
        self.random = context.random
        self.storage = context.storage
        self.executor = context.executor
        self.metrics = context.metrics

    def wake(self) -> None:
        self._context.wake()

    def request_split(self) -> None:
        self._context.send_to_coordinator(None)

    def send_to_enumerator(self, message: bytes) -> None:
        self._context.send_to_coordinator(message)


class SourceOperator(Operator):
    """Reads one subtask's splits.

    Args:
        source: the connector.
        strategy: timestamps and watermarks.
        on_error: what happens to input that is no record.
    """

    def __init__(self, source: Source[Any], strategy: WatermarkStrategy[Any], on_error: OnError) -> None:
        self._source = source
        self._strategy = strategy
        self._on_error = on_error
        self._reader: SourceReader[Any] | None = None
        self._heard = 0  # number of the enumerator's last message
        self._aligned: AlignedReader | None = None
        self.ended = False

    def open(self) -> None:
        self._policy = ErrorPolicy(self._on_error, self.context, self.output, "numRecordsRejected")
        self._event_time = EventTime(self._strategy, self.output, self.context.clock, self.watermark, self._emit)
        self._reader = self.context.origin.reader = self._source.create_reader(_ReaderContext(self.context))
        if self._strategy.alignment is not None:
            self._aligned = AlignedReader(self._reader, self._event_time)
            self.context.metrics.gauge("watermarkAlignmentDrift", self._drift)
        restored = [_decode_split(item) for part in self.context.restored.lists.get(SPLITS, []) for item in part.items]
        if restored:
            self._add_splits(restored)
        self._reader.start()
        if self._event_time.makes_watermarks:
            self._schedule()
        if self._strategy.alignment is not None:
            self._report_again(self._strategy.alignment)

    @property
    def reader(self) -> SourceReader[Any]:
        """The open reader."""
        assert self._reader is not None  # noqa: S101 - opened
        return self._reader

    def _add_splits(self, splits: Sequence[Split]) -> None:
        for split in splits:
            self._event_time.add_split(split.split_id)
        self.reader.add_splits(splits)

    def receive(self, message: object) -> None:
        """A message of the enumerator or the aligner. One that has come before changes nothing."""
        if isinstance(message, WatermarkLimit) and self._aligned is not None:
            self._aligned.told(message)
        if not isinstance(message, SplitsAssigned | NoMoreSplits | NoSplitsYet | FromEnumerator) or message.number <= self._heard:
            return
        self._heard = message.number
        if isinstance(message, SplitsAssigned):
            self._add_splits(message.splits)
        elif isinstance(message, NoMoreSplits):
            if not self.ended:
                self._event_time.nothing_to_read()
            self.reader.no_more_splits()
        elif isinstance(message, NoSplitsYet):
            if not self.ended:
                self._event_time.nothing_to_read()
        else:
            self.reader.receive(message.message)

    # --- reading

    def poll(self) -> bool:
        """Reads and emits one batch. False when there was none."""
        reader = self.reader
        if self._aligned is not None and self._aligned.waits:
            return False
        fetched = reader.fetch(self.context.batch_size)
        if fetched is not None:
            for rejected in fetched.rejected:
                self._reject(rejected)
            if fetched.values:
                self.context.origin.split_id = fetched.split_id
                self._process(fetched.split_id, fetched.values, fetched.timestamps)
        for split_id in reader.finished_splits():
            self._event_time.remove_split(split_id)
        if fetched is None:
            self.ended = reader.finished()
            return False
        return True

    def _process(self, split_id: str, values: list[Any], timestamps: list[int] | None) -> None:
        try:
            self._event_time.process(split_id, values, timestamps, None if self._policy.fails else self._set_aside)
        except MillstreamError:
            raise
        except Exception as error:
            culprit = self._event_time.culprit(values, timestamps)
            raise self._failure(self._strategy.timestamps or self._strategy.generator, error, culprit, self.context.origin.text()) from error
        self.watermark = self._event_time.valve.watermark
        if self._aligned is not None:
            self._aligned.look()

    def ready_at_s(self) -> float | None:
        """When `poll` is worth another call; None to wait for a wake-up."""
        if self._aligned is not None and self._aligned.waits:
            return None
        return self.reader.ready_at_s()

    def _set_aside(self, value: Any, error: Exception) -> None:
        self._policy.set_aside(value, f"{type(error).__name__}: {error}")

    def _reject(self, rejected: Rejected) -> None:
        if self._policy.fails:
            raise MalformedRecord(source_uid=self.context.uid, position=rejected.position, record=shorten(rejected.raw), error=rejected.error)
        text = rejected.raw.decode(errors="backslashreplace")
        self._policy.set_aside(text, rejected.error, position=rejected.position, headers=rejected.headers)

    def held_back(self) -> None:
        self._event_time.held_back()

    def _schedule(self) -> None:
        self.context.schedule(self.context.clock.monotonic_s() + self.context.watermark_interval_s, self._tick)

    def _tick(self) -> None:
        if not self.ended:
            self._event_time.tick()
            self.watermark = self._event_time.valve.watermark
            self._schedule()

    def _report_again(self, alignment: WatermarkAlignment) -> None:
        if not self.ended:
            self._report()
            self.context.schedule(self.context.clock.monotonic_s() + alignment.update_interval_ms / 1000, lambda: self._report_again(alignment))

    def _report(self) -> None:
        valve = self._event_time.valve
        self.context.report_watermark(MAX_TIMESTAMP if self.ended or valve.idle else valve.watermark)

    def _drift(self) -> int:
        """How far it is ahead of what the slowest of its group allows, in ms; negative while it may go on."""
        return 0 if self._aligned is None else self._event_time.valve.watermark - self._aligned.limit

    def end_input(self) -> None:
        self.watermark = MAX_TIMESTAMP
        if self._strategy.alignment is not None:
            self._report()
        self._event_time.end()

    # --- checkpoints

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        splits = [msgspec.msgpack.encode(split) for split in self.reader.snapshot(checkpoint_id)]
        return OperatorSnapshot(lists={SPLITS: StoredItems(None, splits)})

    def notify_complete(self, checkpoint_id: int) -> None:
        self.reader.notify_checkpoint_complete(checkpoint_id)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _decode_split(data: bytes) -> Split:
    try:
        return msgspec.msgpack.decode(data, type=Split)
    except msgspec.MsgspecError as error:
        raise DamagedState(serializer="the position of a source split", reason=str(error)) from error


@dataclass(frozen=True)
class SourceSpec:
    """from_source."""

    source: Source[Any]
    strategy: WatermarkStrategy[Any]
    on_error: OnError = "fail"
    keeps_state: bool = True

    @property
    def alignment(self) -> WatermarkAlignment | None:
        """Whom it waits for."""
        return self.strategy.alignment

    def create(self) -> SourceOperator:
        return SourceOperator(self.source, self.strategy, self.on_error)
