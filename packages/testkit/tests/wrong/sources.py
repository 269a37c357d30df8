"""A small right source, and sources that are wrong, each by one well-known mistake, with the suite that must catch them.

Not collected by itself: `test_wrong_connectors.py` runs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import Fetched, Source, SourceReader, Split, SplitEnumerator
from millstream_testkit import SourceSuite
from millstream_testkit.sources import FileSourceHarness


class Enumerator(SplitEnumerator):
    """One split a file; hands them out one by one."""

    def __init__(self, context: Any, folder: str, state: bytes | None) -> None:
        self._context = context
        names = sorted(path.name for path in Path(folder).iterdir()) if state is None else json.loads(state)["waiting"]
        self._waiting = [Split(name, {"line": 0}) if isinstance(name, str) else Split(*name) for name in names]
        self._assigned: list[Split] = []

    def handle_split_request(self, subtask: int) -> None:
        if self._waiting:
            split = self._waiting.pop(0)
            self._assigned.append(split)
            self._context.assign(subtask, [split])
        else:
            self._context.no_more_splits(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        self._waiting[:0] = splits

    def snapshot(self, checkpoint_id: int) -> bytes:
        return json.dumps({"waiting": [[split.split_id, split.data] for split in self._waiting]}).encode()


class Reader(SourceReader[Any]):
    """Reads its files one after the other."""

    def __init__(self, context: Any, folder: str) -> None:
        self._context = context
        self._folder = Path(folder)
        self._splits: list[Split] = []
        self._finished: list[str] = []
        self._no_more = False

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        self._splits += [Split(split.split_id, dict(split.data)) for split in splits]

    def no_more_splits(self) -> None:
        self._no_more = True

    def lines(self, split: Split) -> list[str]:
        """All lines of a file."""
        return (self._folder / split.split_id).read_text().splitlines()

    def fetch(self, max_records: int) -> Fetched[Any] | None:
        while self._splits:
            split = self._splits[0]
            lines = self.lines(split)
            at = split.data["line"]
            split.data["line"] = stop = min(at + max_records, len(lines))
            if stop == len(lines):
                self._end(split)
            if at < stop:
                return Fetched(split.split_id, [json.loads(line) for line in lines[at:stop]])
        return None

    def _end(self, split: Split) -> None:
        self._splits.remove(split)
        self._finished.append(split.split_id)
        if not self._splits:
            self._context.request_split()

    def finished(self) -> bool:
        return self._no_more and not self._splits

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished = self._finished, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [Split(split.split_id, dict(split.data)) for split in self._splits]


class Lines(Source[Any]):
    """Reads the lines of a folder's files."""

    bounded = True
    capabilities = SourceCapabilities(replayable=True)
    enumerator: ClassVar[type[Enumerator]] = Enumerator
    reader: ClassVar[type[Reader]] = Reader

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def create_enumerator(self, context: Any, state: bytes | None) -> SplitEnumerator:
        return self.enumerator(context, self.folder, state)

    def create_reader(self, context: Any) -> SourceReader[Any]:
        return self.reader(context, self.folder)


class LinesHarness(FileSourceHarness):
    """Nothing is wrong with it; it has no way to reject a line."""

    made: ClassVar[type[Lines]] = Lines

    def source(self, origin: str) -> Any:
        return self.made(origin)

    def spoil(self, origin: str) -> int:
        return 0


def harness_of(enumerator_class: type[Enumerator] = Enumerator, reader_class: type[Reader] = Reader) -> type[Lines]:
    """The source with another part."""

    class Wrong(Lines):
        enumerator = enumerator_class
        reader = reader_class

    return Wrong


class _AliasingReader(Reader):
    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return list(self._splits)


class SnapshotAliasesStateHarness(LinesHarness):
    """Its snapshot is its live state."""

    made = harness_of(reader_class=_AliasingReader)


class _LateReader(Reader):
    """Moves its position when the next records are asked for."""

    _moved: tuple[Split, int] | None = None

    def fetch(self, max_records: int) -> Fetched[Any] | None:
        if self._moved is not None:
            split, stop = self._moved
            self._moved = None
            split.data["line"] = stop
            if stop == len(self.lines(split)):
                self._end(split)
        for split in self._splits:
            lines = self.lines(split)
            at = split.data["line"]
            stop = min(at + max_records, len(lines))
            self._moved = (split, stop)
            return Fetched(split.split_id, [json.loads(line) for line in lines[at:stop]])
        return None

    def finished(self) -> bool:
        return super().finished() and self._moved is None


class StoresTheOffsetAfterEmitHarness(LinesHarness):
    made = harness_of(reader_class=_LateReader)


class _OffsetsElsewhere(Reader):
    """Goes on from an offset that it keeps itself, beside the files, instead of the checkpoint's."""

    def _offsets(self) -> Path:
        return self._folder.parent / "offsets.json"

    def add_splits(self, splits: Sequence[Split]) -> None:
        kept = json.loads(self._offsets().read_text()) if self._offsets().exists() else {}
        super().add_splits([Split(split.split_id, {"line": kept.get(split.split_id, split.data["line"])}) for split in splits])

    def fetch(self, max_records: int) -> Fetched[Any] | None:
        fetched = super().fetch(max_records)
        kept = json.loads(self._offsets().read_text()) if self._offsets().exists() else {}
        self._offsets().write_text(json.dumps({**kept, **{split.split_id: split.data["line"] for split in self._splits}}))
        return fetched


class KeepsItsOwnOffsetsHarness(LinesHarness):
    made = harness_of(reader_class=_OffsetsElsewhere)


class _ForgetfulEnumerator(Enumerator):
    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        """They were handed out, were they not?"""


class LosesSplitsOfADeadReaderHarness(LinesHarness):
    made = harness_of(_ForgetfulEnumerator)


class _GreedyEnumerator(Enumerator):
    def snapshot(self, checkpoint_id: int) -> bytes:
        every = [*self._assigned, *self._waiting]
        return json.dumps({"waiting": [[split.split_id, split.data] for split in every]}).encode()


class KeepsAssignedSplitsHarness(LinesHarness):
    """The enumerator's state has splits that a reader has as well."""

    made = harness_of(_GreedyEnumerator)


class _EarlyEnumerator(Enumerator):
    def snapshot(self, checkpoint_id: int) -> bytes:
        return json.dumps({"waiting": [[split.split_id, split.data] for split in self._waiting[1:]]}).encode()


class CountsASplitAsAssignedTooEarlyHarness(LinesHarness):
    made = harness_of(_EarlyEnumerator)


class _OptimisticReader(Reader):
    def lines(self, split: Split) -> list[str]:
        path = self._folder / split.split_id
        return path.read_text().splitlines() if path.exists() else []


class TakesALostFileForItsEndHarness(LinesHarness):
    made = harness_of(reader_class=_OptimisticReader)


class _RepeatingReader(Reader):
    def finished_splits(self) -> Sequence[str]:
        return self._finished


class ReportsTheEndAgainHarness(LinesHarness):
    made = harness_of(reader_class=_RepeatingReader)


class _SlowReader(Reader):
    def close(self) -> None:
        Event().wait(0.4)


class HangsInCloseHarness(LinesHarness):
    made = harness_of(reader_class=_SlowReader)
    close_limit_s = 0.3


class _StuckReader(Reader):
    def no_more_splits(self) -> None:
        self._no_more = bool(self._finished)


class NeverEndsWithoutASplitHarness(LinesHarness):
    """A reader that never had a split waits for ever."""

    made = harness_of(reader_class=_StuckReader)
    quiet_limit_s = 1.0


class _SkippingReader(Reader):
    def fetch(self, max_records: int) -> Fetched[Any] | None:
        for split in self._splits:
            lines = [line for line in self.lines(split) if line.startswith("{")]
            at = split.data["line"]
            split.data["line"] = stop = min(at + max_records, len(lines))
            if stop == len(lines):
                self._end(split)
            return Fetched(split.split_id, [json.loads(line) for line in lines[at:stop]])
        return None


class SkipsWhatIsNoRecordHarness(FileSourceHarness):
    """Leaves out what it cannot read, and tells nobody."""

    def source(self, origin: str) -> Any:
        return harness_of(reader_class=_SkippingReader)(origin)


class _FirstOnly(Reader):
    def add_splits(self, splits: Sequence[Split]) -> None:
        super().add_splits(splits[:1])


class TakesOneSplitHarness(LinesHarness):
    """Takes one split of those that it is given: right, while nothing is restored with fewer readers."""

    made = harness_of(reader_class=_FirstOnly)


class _HastyReader(Reader):
    def finished(self) -> bool:
        return not self._splits


class FinishesBeforeTheAnswerHarness(LinesHarness):
    """Has finished when it has no split, although it has asked for one."""

    made = harness_of(reader_class=_HastyReader)


class _BackwardReader(Reader):
    def fetch(self, max_records: int) -> Fetched[Any] | None:
        fetched = super().fetch(max_records)
        return None if fetched is None else Fetched(fetched.split_id, fetched.values[::-1])


class NewestFirstHarness(LinesHarness):
    """Turns each batch around, so that the order depends on where reading was interrupted."""

    made = harness_of(reader_class=_BackwardReader)


class _EagerReader(Reader):
    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        for split in self._splits:
            path = self._folder / split.split_id
            path.write_text("\n" * split.data["line"] + "\n".join(self.lines(split)[split.data["line"] :]))


class ReleasesWhatItHasReadHarness(LinesHarness):
    """Deletes at the origin all that it has read by the time a checkpoint is complete, also what that one does not cover."""

    made = harness_of(reader_class=_EagerReader)


class _OwnReaders(Enumerator):
    """Each split belongs to a reader by its number."""

    def __init__(self, context: Any, folder: str, state: bytes | None) -> None:
        super().__init__(context, folder, state)
        self._numbers = {path.name: number for number, path in enumerate(sorted(Path(folder).iterdir()))}
        self._parallelism = json.loads(state)["parallelism"] if state else context.parallelism

    def handle_split_request(self, subtask: int) -> None:
        mine = [split for split in self._waiting if self._numbers[split.split_id] % self._parallelism == subtask]
        if mine:
            self._waiting.remove(mine[0])
            self._context.assign(subtask, mine[:1])
        else:
            self._context.no_more_splits(subtask)

    def snapshot(self, checkpoint_id: int) -> bytes:
        return json.dumps({**json.loads(super().snapshot(checkpoint_id)), "parallelism": self._parallelism}).encode()


class KeepsSplitsForReadersThatAreGoneHarness(LinesHarness):
    made = harness_of(_OwnReaders)


class _DoneForEver(Enumerator):
    _done = False

    def handle_split_request(self, subtask: int) -> None:
        if self._done:
            self._context.no_more_splits(subtask)
            return
        super().handle_split_request(subtask)
        self._done = not self._waiting


class ForgetsSplitsThatComeBackLateHarness(LinesHarness):
    """Hands out nothing any more when it has once had nothing left."""

    made = harness_of(_DoneForEver)


class TestLines(SourceSuite):
    harness = LinesHarness


class TestSnapshotAliasesState(SourceSuite):
    harness = SnapshotAliasesStateHarness


class TestStoresTheOffsetAfterEmit(SourceSuite):
    harness = StoresTheOffsetAfterEmitHarness


class TestKeepsItsOwnOffsets(SourceSuite):
    harness = KeepsItsOwnOffsetsHarness


class TestLosesSplitsOfADeadReader(SourceSuite):
    harness = LosesSplitsOfADeadReaderHarness


class TestKeepsAssignedSplits(SourceSuite):
    harness = KeepsAssignedSplitsHarness


class TestCountsASplitAsAssignedTooEarly(SourceSuite):
    harness = CountsASplitAsAssignedTooEarlyHarness


class TestTakesALostFileForItsEnd(SourceSuite):
    harness = TakesALostFileForItsEndHarness


class TestReportsTheEndAgain(SourceSuite):
    harness = ReportsTheEndAgainHarness


class TestHangsInClose(SourceSuite):
    harness = HangsInCloseHarness


class TestNeverEndsWithoutASplit(SourceSuite):
    harness = NeverEndsWithoutASplitHarness


class TestSkipsWhatIsNoRecord(SourceSuite):
    harness = SkipsWhatIsNoRecordHarness


class TestTakesOneSplit(SourceSuite):
    harness = TakesOneSplitHarness


class TestFinishesBeforeTheAnswer(SourceSuite):
    harness = FinishesBeforeTheAnswerHarness


class TestNewestFirst(SourceSuite):
    harness = NewestFirstHarness


class TestReleasesWhatItHasRead(SourceSuite):
    harness = ReleasesWhatItHasReadHarness


class TestKeepsSplitsForReadersThatAreGone(SourceSuite):
    harness = KeepsSplitsForReadersThatAreGoneHarness


class TestForgetsSplitsThatComeBackLate(SourceSuite):
    harness = ForgetsSplitsThatComeBackLateHarness
