"""The source and the sink of the snapshot benchmark: records at a given rate, each with the moment it was due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

from millstream_ends import OneSplit

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split, SplitEnumerator

STRIDE = 7_919
"""Keys come in steps of this prime, so that neighbours in time are none in the table."""


@dataclass
class Moments:
    """What an outside observer of the job sees, in ns of `perf_counter_ns`.

    Attributes:
        arrivals: for every batch at the sink, when it came and when each of its records was due; 0 for one that only fills the state.
        triggered: when the source was asked for its positions, by checkpoint.
        durable: when the source was told, by checkpoint.
    """

    arrivals: list[tuple[int, list[int]]] = field(default_factory=list)
    triggered: dict[int, int] = field(default_factory=dict)
    durable: dict[int, int] = field(default_factory=dict)

    def arrive(self, batch: Sequence[Any]) -> None:
        """A batch reaches the sink."""
        self.arrivals.append((perf_counter_ns(), [record[2] for record in batch]))


class FilledThenPaced(Source[tuple[str, int, int]]):
    """One record for every key as fast as they are taken, then `rate` records a second over all keys for `seconds`.

    A record is its key, 1, and the moment it was due.
    """

    bounded = True
    capabilities = SourceCapabilities(replayable=False, why_not="moments do not come again")

    def __init__(self, keys: list[str], rate: int, seconds: float, moments: Moments) -> None:
        self.keys = keys
        self.rate = rate
        self.seconds = seconds
        self.moments = moments

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        return OneSplit(context, state)

    def create_reader(self, context: ReaderContext) -> SourceReader[tuple[str, int, int]]:
        return PacedReader(self, context)


class PacedReader(SourceReader[tuple[str, int, int]]):
    """Reads what is due."""

    def __init__(self, source: FilledThenPaced, context: ReaderContext) -> None:
        self._source = source
        self._context = context
        self._filled = 0
        self._sent = 0
        self._total = int(source.rate * source.seconds)
        self._period_ns = 1_000_000_000 // source.rate
        self._began_ns = 0
        self._has_split = False

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        self._has_split = True

    def no_more_splits(self) -> None:
        """The one split has come already."""

    def fetch(self, max_records: int) -> Fetched[tuple[str, int, int]] | None:
        keys = self._source.keys
        if not self._has_split:
            return None
        if self._filled < len(keys):
            part = keys[self._filled : self._filled + max_records]
            self._filled += len(part)
            return Fetched("all", [(key, 1, 0) for key in part])
        now_ns = perf_counter_ns()
        self._began_ns = self._began_ns or now_ns
        due = min((now_ns - self._began_ns) // self._period_ns, self._total)
        numbers = range(self._sent, min(due, self._sent + max_records))
        if not numbers:
            return None
        self._sent = numbers.stop
        return Fetched("all", [(keys[i * STRIDE % len(keys)], 1, self._began_ns + (i + 1) * self._period_ns) for i in numbers])

    def ready_at_s(self) -> float | None:
        if not self._has_split:
            return None
        behind_ns = self._began_ns + (self._sent + 1) * self._period_ns - perf_counter_ns()
        return self._context.clock.monotonic_s() + max(behind_ns, 0) / 1e9

    def finished(self) -> bool:
        return self._sent == self._total

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        self._source.moments.triggered[checkpoint_id] = perf_counter_ns()
        return [Split("all", {"position": self._sent})]

    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        self._source.moments.durable[checkpoint_id] = perf_counter_ns()
