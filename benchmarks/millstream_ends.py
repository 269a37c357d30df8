"""Sources and sinks of the benchmark jobs, written against the contracts as any connector is."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from threading import Event, Thread
from time import perf_counter_ns
from typing import Any

from input import Reading, Write

from millstream.contracts.guarantee import SinkCapabilities, SourceCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split, SplitEnumerator


class CallingSink(Sink[Any]):
    """Hands every batch to a function."""

    capabilities = SinkCapabilities(kind="plain")

    def __init__(self, write: Write) -> None:
        self.write = write

    def open(self, context: SinkContext) -> SinkWriter[Any]:
        return CallingWriter(self.write)


class CallingWriter(SinkWriter[Any]):
    """Calls the function; there is nothing to flush."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        self._write(values)

    def flush(self) -> None:
        """Everything is out already."""


class OneSplit(SplitEnumerator):
    """Gives the only split to whoever asks first. State: empty once it is given."""

    def __init__(self, context: EnumeratorContext, state: bytes | None) -> None:
        self._context = context
        self._waiting = [Split("all", {"position": 0})] if state is None else []

    def handle_split_request(self, subtask: int) -> None:
        if self._waiting:
            self._context.assign(subtask, [self._waiting.pop()])
        self._context.no_more_splits(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        self._waiting.extend(splits)

    def snapshot(self, checkpoint_id: int) -> bytes:
        return b""


class Lap(Source[Reading]):
    """A list, read again and again until `seconds` have gone by; then the lap is finished. Once for 0 seconds."""

    bounded = True
    capabilities = SourceCapabilities(replayable=True)

    def __init__(self, values: list[Reading], seconds: float) -> None:
        self.values = values
        self.seconds = seconds
        self.completed: set[int] = set()
        """Ids of the checkpoints that the reader was told of."""

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        return OneSplit(context, state)

    def create_reader(self, context: ReaderContext) -> SourceReader[Reading]:
        return LapReader(self, context)


class LapReader(SourceReader[Reading]):
    """Reads the list in slices."""

    def __init__(self, source: Lap, context: ReaderContext) -> None:
        self._source = source
        self._values = source.values
        self._context = context
        self._until_s = context.clock.monotonic_s() + source.seconds
        self._position: int | None = None

    def start(self) -> None:
        if self._position is None:
            self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        for split in splits:
            self._position = split.data["position"]

    def no_more_splits(self) -> None:
        """The one split has come already."""

    def fetch(self, max_records: int) -> Fetched[Reading] | None:
        position = self._position
        if position is None or position == len(self._values):
            return None
        values = self._values[position : position + max_records]
        self._position = position + len(values)
        if self._position == len(self._values) and self._context.clock.monotonic_s() < self._until_s:
            self._position = 0
        return Fetched("all", values)

    def finished(self) -> bool:
        return self._position == len(self._values)

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [] if self._position is None or self.finished() else [Split("all", {"position": self._position})]

    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        self._source.completed.add(checkpoint_id)


class LoneRecords(Source[tuple[int, int]]):
    """Single records at irregular moments, 5 to 15 ms apart, from a thread, as a connector's client brings them.

    A record is its number and the moment it came (`perf_counter_ns`).
    """

    bounded = True
    capabilities = SourceCapabilities(replayable=False, why_not="what has come is not kept")

    def __init__(self, count: int) -> None:
        self.count = count

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        return OneSplit(context, state)

    def create_reader(self, context: ReaderContext) -> SourceReader[tuple[int, int]]:
        return LoneReader(self.count, context)


class LoneReader(SourceReader[tuple[int, int]]):
    """Takes what the thread has brought."""

    def __init__(self, count: int, context: ReaderContext) -> None:
        self._left = count
        self._context = context
        self._arrived: deque[tuple[int, int]] = deque()
        self._closed = Event()
        self._thread = Thread(target=self._bring, args=(count,), daemon=True)

    def _bring(self, count: int) -> None:
        pauses = Random(7)
        for number in range(count):
            if self._closed.wait(pauses.uniform(0.005, 0.015)):
                return
            self._arrived.append((number, perf_counter_ns()))
            self._context.wake()

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        self._thread.start()

    def no_more_splits(self) -> None:
        """The one split has come already."""

    def fetch(self, max_records: int) -> Fetched[tuple[int, int]] | None:
        values: list[tuple[int, int]] = []
        while self._arrived and len(values) < max_records:
            values.append(self._arrived.popleft())
        self._left -= len(values)
        return Fetched("all", values) if values else None

    def finished(self) -> bool:
        return self._left == 0

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [Split("all", {"position": 0})]

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()
