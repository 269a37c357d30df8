"""A source that follows a script: records, their times, and pauses in between.

Guarantee: exactly once, because a position is a number in the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from millstream.api.sources.enumerator import FixedEnumerator
from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLAYABLE: Final = SourceCapabilities(replayable=True)
_NEXT: Final = "next"


@dataclass(frozen=True)
class Wait:
    """Nothing comes for so long, in seconds. A wait that a crash interrupts begins anew."""

    seconds: float


@dataclass(frozen=True)
class At:
    """A record with an event time, in ms."""

    timestamp: int
    value: Any


Script: TypeAlias = "Sequence[Any]"


class ScriptedSource(Source[Any]):
    """Reads scripts, one split each: split n goes to subtask n % parallelism.

    Args:
        scripts: of each split: values, `At(timestamp, value)` and `Wait(seconds)`.
        fetch_records: the most records given at once, so that even a short script takes many steps; None for as many as asked for.

    >>> source = ScriptedSource([1, 2, Wait(3.5), 3], [10, 20])
    """

    bounded: bool = True
    capabilities = REPLAYABLE

    def __init__(self, *scripts: Script, fetch_records: int | None = None) -> None:
        self.scripts = [list(script) for script in scripts]
        self.fetch_records = fetch_records

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> FixedEnumerator:
        return FixedEnumerator(context, [Split(str(number), {_NEXT: 0}) for number in range(len(self.scripts))], state)

    def create_reader(self, context: ReaderContext) -> ScriptedReader:
        return ScriptedReader(context, self.scripts, self.fetch_records)


@dataclass
class _Reading:
    """A split being read."""

    split_id: str
    script: list[Any]
    next: int
    ready_at_s: float | None = None


class ScriptedReader(SourceReader[Any]):
    """Takes its splits in turn."""

    pauses_splits: ClassVar[bool] = True

    def __init__(self, context: ReaderContext, scripts: list[list[Any]], fetch_records: int | None) -> None:
        self._context = context
        self._scripts = scripts
        self._fetch_records = fetch_records
        self._open: list[_Reading] = []
        self._no_more = False
        self._finished: list[str] = []
        self._paused: set[str] = set()

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        self._open.extend(_Reading(split.split_id, self._scripts[int(split.split_id)], split.data[_NEXT]) for split in splits)
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[Any] | None:
        limit = min(max_records, self._fetch_records or max_records)
        for _ in range(len(self._open)):
            reading = self._open.pop(0)
            if reading.split_id in self._paused:
                self._open.append(reading)
                continue
            fetched = self._read(reading, limit)
            if fetched is None and reading.next >= len(reading.script):
                self._finished.append(reading.split_id)
                crash_point("source.split.finished_not_checkpointed")
                continue
            self._open.append(reading)
            if fetched is not None:
                crash_point("source.split.mid")
                return fetched
        return None

    def _read(self, reading: _Reading, limit: int) -> Fetched[Any] | None:
        """The next records up to a wait, or up to where timestamps begin or end."""
        values: list[Any] = []
        timestamps: list[int] = []
        while reading.next < len(reading.script) and len(values) < limit:
            item = reading.script[reading.next]
            if isinstance(item, Wait):
                if values or self._is_waiting(reading, item):
                    break
            else:
                stamped = isinstance(item, At)
                if values and stamped != bool(timestamps):
                    break
                values.append(item.value if stamped else item)
                if stamped:
                    timestamps.append(item.timestamp)
            reading.next += 1
        return Fetched(reading.split_id, values, timestamps or None) if values else None

    def _is_waiting(self, reading: _Reading, wait: Wait) -> bool:
        now_s = self._context.clock.monotonic_s()
        if reading.ready_at_s is None:
            reading.ready_at_s = now_s + wait.seconds
        if now_s < reading.ready_at_s:
            return True
        reading.ready_at_s = None
        return False

    def ready_at_s(self) -> float | None:
        running = (reading.ready_at_s for reading in self._open if reading.split_id not in self._paused)
        return min((ready_s for ready_s in running if ready_s is not None), default=None)

    def pause_or_resume_splits(self, pause: Sequence[str], resume: Sequence[str]) -> None:
        self._paused = (self._paused | set(pause)) - set(resume)
        self._context.wake()

    def finished(self) -> bool:
        return self._no_more and not self._open

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished = self._finished, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [Split(reading.split_id, {_NEXT: reading.next}) for reading in self._open]
