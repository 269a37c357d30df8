"""Source that computes its records from their index, as fast as they are asked for or at a steady rate.

Guarantee: exactly once, when the function depends on the index only: the same index must give the same record in every run, so
no clock, no random number and no state. A function that breaks this rule makes the source one that cannot be replayed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.api.sources.enumerator import FixedEnumerator
from millstream.api.sources.index_range import IndexRange, Schedule
from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split
from millstream.errors import InvalidArgument, shorten
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

GENERATOR_CAPABILITIES: Final = SourceCapabilities(replayable=True)


@dataclass(frozen=True)
class GeneratorSource(Source[T_co]):
    """Emits function(0), function(1), ...

    With several readers, reader k of n computes indexes k, k + n, k + 2n, ...; a restored job keeps these n sequences, whatever its
    parallelism is then, and deals them out over its readers.

    Args:
        function: makes the record of an index; a pure function of it.
        count: how many records, >= 0; None for no end.
        rate_per_s: records per second over all readers, > 0; None for as fast as it goes. Record i is due i / rate_per_s seconds after
            the start (or goes on from there after a restore) and comes at that moment; above 1,000 a second and reader, up to 1 ms
            later. After a stall at most one second's worth is made up for.

    Raises:
        InvalidArgument: an option makes no sense.
    """

    function: Callable[[int], T_co]
    count: int | None = None
    rate_per_s: float | None = None
    bounded: bool = field(init=False, repr=False)
    capabilities: SourceCapabilities = field(init=False, default=GENERATOR_CAPABILITIES, repr=False)

    def __post_init__(self) -> None:
        function: Any = self.function
        if not callable(function):
            raise InvalidArgument(what="GeneratorSource(function=...)", value=shorten(function), allowed="a function of an index from 0")
        count: Any = self.count
        if count is not None and not (isinstance(count, int) and not isinstance(count, bool) and count >= 0):
            raise InvalidArgument(what="GeneratorSource(count=...)", value=shorten(count), allowed="a whole number from 0, or None")
        rate: Any = self.rate_per_s
        if rate is not None and not (isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 and math.isfinite(rate)):
            raise InvalidArgument(what="GeneratorSource(rate_per_s=...)", value=shorten(rate), allowed="a number above 0, or None")
        object.__setattr__(self, "bounded", count is not None)

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> FixedEnumerator:
        step = context.parallelism
        ranges = [IndexRange(number, step, self.count) for number in range(step) if self.count is None or number < self.count]
        return FixedEnumerator(context, [each.to_split() for each in ranges], state)

    def create_reader(self, context: ReaderContext) -> GeneratorReader[T_co]:
        return GeneratorReader(context, self)


class GeneratorReader(SourceReader[T]):
    """Computes the sequences of one subtask: of several, always the one that is furthest behind."""

    def __init__(self, context: ReaderContext, source: GeneratorSource[T]) -> None:
        self._context = context
        self._clock = context.clock
        self._function = source.function
        self._count = source.count
        self._rate_per_s = source.rate_per_s
        self._ranges: list[IndexRange] = []
        self._no_more = False
        self._finished_splits: list[str] = []

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        now_s = self._clock.monotonic_s()
        for split in splits:
            added = IndexRange.from_split(split)
            if added.count != self._count:
                raise InvalidArgument(
                    what="GeneratorSource(count=...)",
                    value=f"{self._count}, but the checkpoint was taken with {added.count}",
                    allowed=f"count={added.count}, or start afresh with --resume never",
                )
            if self._rate_per_s is not None:
                added.schedule = Schedule(now_s + added.next % added.step / self._rate_per_s, added.step / self._rate_per_s)
            self._ranges.append(added)
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[T] | None:
        if not self._ranges:
            return None
        chosen = min(self._ranges, key=IndexRange.order)
        schedule = chosen.schedule
        remaining = chosen.remaining(max_records)
        due = remaining if schedule is None else schedule.due(self._clock.monotonic_s(), remaining)
        if not due:
            return None
        values = self._compute(chosen.indexes(due))
        chosen.advance(due)
        crash_point("source.split.mid")
        if not chosen.remaining(1):
            self._ranges.remove(chosen)
            self._finished_splits.append(chosen.split_id)
            crash_point("source.split.finished_not_checkpointed")
        return Fetched(chosen.split_id, values)

    def _compute(self, indexes: range) -> list[T]:
        values: list[T] = []
        try:
            for index in indexes:
                values.append(self._function(index))
        except Exception as error:
            error.add_note(f"raised by the function of a GeneratorSource for index {indexes[len(values)]}, subtask {self._context.subtask}")
            raise
        return values

    def ready_at_s(self) -> float | None:
        return min((each.schedule.ready_at_s(each.remaining) for each in self._ranges if each.schedule is not None), default=None)

    def finished(self) -> bool:
        return self._no_more and not self._ranges

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished_splits = self._finished_splits, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [each.to_split() for each in self._ranges]
