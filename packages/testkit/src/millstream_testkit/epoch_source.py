"""A source whose records fall into the same checkpoints in every run, however fast the machine is.

Guarantee: replayable. A split's records are a function of their position.

Needs: checkpointing. An epoch is released when a checkpoint that covers the one before is known to be complete, or when two more
checkpoints were taken without such news, so that a lost notification does not stop the input.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split, SplitEnumerator
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class EpochSource(Source[int]):
    """Emits 0, 1, 2, ... below `records`; split i of n has the numbers i, i + n, i + 2n, ... Each is its own timestamp.

    Args:
        records: how many numbers.
        per_epoch: numbers of one split between two pauses; there is no pause before the end.
        splits: how many.
        journal: file to which each reader adds a line per snapshot that says how far the splits are read: what a checkpoint covers,
            told without the engine.
    """

    records: int
    per_epoch: int
    splits: int = 1
    journal: str | None = None
    bounded = True
    capabilities = SourceCapabilities(replayable=True)

    def length(self, split: int) -> int:
        """How many numbers a split has."""
        return len(range(split, self.records, self.splits))

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        waiting = list(range(self.splits)) if state is None else json.loads(state)
        return _Enumerator(context, [Split(str(number), {"next": 0}) for number in waiting])

    def create_reader(self, context: ReaderContext) -> SourceReader[int]:
        return _Reader(self, context)


class _Enumerator(SplitEnumerator):
    def __init__(self, context: EnumeratorContext, waiting: list[Split]) -> None:
        self._context = context
        self._waiting = waiting

    def handle_split_request(self, subtask: int) -> None:
        if self._waiting:
            self._context.assign(subtask, [self._waiting.pop(0)])
            crash_point("source.assign.before_ack")
        else:
            self._context.no_more_splits(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        self._waiting[:0] = splits

    def snapshot(self, checkpoint_id: int) -> bytes:
        return json.dumps([int(split.split_id) for split in self._waiting]).encode()


@dataclass
class _Progress:
    """How far a split is read.

    Attributes:
        next: numbers emitted.
        limit: numbers released.
        snapshots: taken since the limit was reached.
        captured: `next` as of each snapshot that may still complete.
    """

    next: int
    limit: int
    snapshots: int = 0
    captured: dict[int, int] = field(default_factory=dict)


class _Reader(SourceReader[int]):
    """Reads its splits in turn, half an epoch at a time."""

    def __init__(self, source: EpochSource, context: ReaderContext) -> None:
        self._source = source
        self._context = context
        self._progress: dict[int, _Progress] = {}
        self._finished: list[str] = []
        self._no_more = False

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        per_epoch = self._source.per_epoch
        for split in splits:
            position = split.data["next"]
            self._progress[int(split.split_id)] = _Progress(position, (position // per_epoch + 1) * per_epoch)
        self._context.request_split()
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[int] | None:
        source = self._source
        for number, progress in self._progress.items():
            at = progress.next
            stop = min(progress.limit, at + min(max_records, max(1, source.per_epoch // 2)), source.length(number))
            if at < stop:
                progress.next = stop
                self._pass_crash_points(number, progress)
                values = [number + index * source.splits for index in range(at, stop)]
                return Fetched(str(number), values, list(values))
        return None

    def _pass_crash_points(self, number: int, progress: _Progress) -> None:
        crash_point("source.split.mid")
        if progress.next == self._source.length(number):
            self._finished.append(str(number))
            crash_point("source.split.finished_not_checkpointed")

    def finished(self) -> bool:
        return self._no_more and not any(map(self._open, self._progress))

    def _open(self, number: int) -> bool:
        return self._progress[number].next < self._source.length(number)

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished = self._finished, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        for number, progress in self._progress.items():
            progress.captured[checkpoint_id] = progress.next
            if progress.next == progress.limit and self._open(number):
                progress.snapshots += 1
                if progress.snapshots > 2:
                    self._release(progress)
        self._write_journal(checkpoint_id)
        return [Split(str(number), {"next": progress.next}) for number, progress in self._progress.items() if self._open(number)]

    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        for progress in self._progress.values():
            covered = progress.captured.get(checkpoint_id, 0)
            progress.captured = {number: position for number, position in progress.captured.items() if number > checkpoint_id}
            if covered == progress.limit:
                self._release(progress)

    def _release(self, progress: _Progress) -> None:
        progress.limit += self._source.per_epoch
        progress.snapshots = 0
        self._context.wake()

    def _write_journal(self, checkpoint_id: int) -> None:
        if self._source.journal is None:
            return
        read: dict[str, Any] = {str(number): progress.next for number, progress in self._progress.items()}
        line = json.dumps({"checkpoint": checkpoint_id, "read": read}) + "\n"
        file = os.open(self._source.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
