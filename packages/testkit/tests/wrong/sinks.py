"""Sinks that promise exactly once and break it, each by one well-known mistake, with the suite that must catch them.

Not collected by itself: `test_wrong_connectors.py` runs it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import EndedRun, Sink, SinkContext, SinkWriter
from millstream.contracts.two_phase_commit import Committed
from millstream.contracts.write_ahead import Marker
from millstream.errors import LostEpoch
from millstream_testkit import Row, SinkSuite
from millstream_testkit.ledger import SqliteLedgerLanes, SqliteLedgerSink, connect
from millstream_testkit.sinks import COLUMNS, TABLE, LedgerHarness, StagedHarness
from millstream_testkit.staged import SqliteStagedSink, SqliteStagedWriter


def two_phase(writer: type[SqliteStagedWriter]) -> Any:
    """A sink whose writer is wrong."""

    class Wrong(SqliteStagedSink):
        def open(self, context: SinkContext) -> SqliteStagedWriter:
            return writer(self, context)

    return lambda self, target: Wrong(target, TABLE, COLUMNS)


def write_ahead(lanes: type[SqliteLedgerLanes]) -> Any:
    """A sink whose lanes are wrong."""

    class Wrong(SqliteLedgerSink):
        def open(self, context: SinkContext) -> SqliteLedgerLanes:
            return lanes(self, context)

    return lambda self, target: Wrong(target, TABLE, COLUMNS)


class _CommitsAtPrepare(SqliteStagedWriter):
    def prepare(self, checkpoint_id: int) -> bytes | None:
        committable = super().prepare(checkpoint_id)
        if committable is not None:
            self.commit(self._context.lane, checkpoint_id, committable)
        return committable


class CommitsAtPrepareHarness(StagedHarness):
    """Has nothing left to do at the commit."""

    sink = two_phase(_CommitsAtPrepare)


class _CommitsOnLocalSnapshot(SqliteStagedWriter):
    _before: tuple[int, bytes] | None = None

    def prepare(self, checkpoint_id: int) -> bytes | None:
        if self._before is not None:
            self.commit(self._context.lane, *self._before)
        committable = super().prepare(checkpoint_id)
        self._before = None if committable is None else (checkpoint_id, committable)
        return committable


class CommitsOnLocalSnapshotHarness(StagedHarness):
    """Takes its own next snapshot for the news that the last checkpoint is complete."""

    sink = two_phase(_CommitsOnLocalSnapshot)


class _WritesBeforeTheCheckpoint(SqliteStagedWriter):
    def write(self, values: Sequence[Sequence[Any]], timestamps: Sequence[int] | None) -> None:
        self._connection.executemany(self._insert, values)


class WritesBeforeTheCheckpointHarness(StagedHarness):
    """Writes where readers look."""

    sink = two_phase(_WritesBeforeTheCheckpoint)


class _ReusesItsHandle(SqliteStagedWriter):
    """One handle for all epochs, as one producer with one transactional id."""

    def _new_handle(self) -> str:
        return f"{self._name(self._context.lane)}/the only one"

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        _, handle = self._decode(committable)
        with self._transaction():
            staged = self._connection.execute("SELECT record FROM millstream_staged WHERE handle = ?", [handle]).fetchall()
            self._connection.executemany(self._insert, [json.loads(record) for (record,) in staged])
            self._connection.execute("DELETE FROM millstream_staged WHERE handle = ?", [handle])
        return Committed(already=not staged)


class ReusesItsHandleHarness(StagedHarness):
    sink = two_phase(_ReusesItsHandle)


class _NeverAborts(SqliteStagedWriter):
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        """Somebody will do it."""


class NeverAbortsHarness(StagedHarness):
    sink = two_phase(_NeverAborts)


class _AbortsEverything(SqliteStagedWriter):
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        self._connection.execute("DELETE FROM millstream_staged")


class AbortsEverythingHarness(StagedHarness):
    """Aborts what other lanes, sinks and runs have prepared."""

    sink = two_phase(_AbortsEverything)


class _RemembersOneEpoch(SqliteStagedWriter):
    _newest = 0

    def prepare(self, checkpoint_id: int) -> bytes | None:
        self._newest = checkpoint_id
        return super().prepare(checkpoint_id)

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        if self._newest and checkpoint_id != self._newest:
            return Committed(already=True)
        return super().commit(lane, checkpoint_id, committable)


class RemembersOneEpochHarness(StagedHarness):
    """Commits what belongs to the newest checkpoint, and takes all others for done: right, while no notification is late."""

    sink = two_phase(_RemembersOneEpoch)


class _BreaksOnEmptyEpochs(SqliteStagedWriter):
    def prepare(self, checkpoint_id: int) -> bytes | None:
        committable = super().prepare(checkpoint_id)
        if committable is None:
            return json.dumps({"version": 1, "lane": self._name(self._context.lane), "handle": self._new_handle()}).encode()
        return committable


class BreaksOnEmptyEpochsHarness(StagedHarness):
    """Returns a handle for an epoch in which nothing was staged."""

    sink = two_phase(_BreaksOnEmptyEpochs)


class _TakesUnknownForCommitted(SqliteStagedWriter):
    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        try:
            return super().commit(lane, checkpoint_id, committable)
        except LostEpoch:
            return Committed(already=True)


class TakesUnknownForCommittedHarness(StagedHarness):
    """'I do not know that transaction' is 'it was committed before'."""

    sink = two_phase(_TakesUnknownForCommitted)


class _NeverCloses(SqliteStagedWriter):
    opened: list[sqlite3.Connection] = []  # noqa: RUF012 - the leak

    def __init__(self, sink: SqliteStagedSink, context: SinkContext) -> None:
        super().__init__(sink, context)
        self.opened.append(self._connection)

    def close(self) -> None:
        """The connection will be collected some day."""


class NeverClosesHarness(StagedHarness):
    sink = two_phase(_NeverCloses)


class _MarkerApart(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._check_fence(lane)
            self._connection.executemany(self._insert, records)
        with self._transaction():
            self._move_marker(lane, checkpoint_id, chunk)


class MarkerApartHarness(LedgerHarness):
    """Two transactions for what must be one. It passes no crash point between them."""

    sink = write_ahead(_MarkerApart)


class _NoFence(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._insert_rows(records)
            self._move_marker(lane, checkpoint_id, chunk)


class NoFenceHarness(LedgerHarness):
    """Trusts that it is alone."""

    sink = write_ahead(_NoFence)


class _ForgetsItsMarker(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._check_fence(lane)
            self._insert_rows(records)


class ForgetsItsMarkerHarness(LedgerHarness):
    sink = write_ahead(_ForgetsItsMarker)


class _OneMarkerForAll(SqliteLedgerLanes):
    def _key(self, lane: int) -> tuple[str, str, int]:
        return "every run", "every sink", 0


class OneMarkerForAllHarness(LedgerHarness):
    """Its markers are not kept by run, sink and lane."""

    sink = write_ahead(_OneMarkerForAll)


class _NewestFirst(SqliteLedgerLanes):
    def _insert_rows(self, records: Sequence[Sequence[Any]]) -> None:
        super()._insert_rows(records[::-1])


class NewestFirstHarness(LedgerHarness):
    """Takes the records of an epoch from the end of its list."""

    sink = write_ahead(_NewestFirst)


class _LeavesEqualRecordsOut(SqliteStagedWriter):
    def _stage(self, handle: str, records: Sequence[Sequence[Any]]) -> None:
        super()._stage(handle, list(dict.fromkeys(records)))


class LeavesEqualRecordsOutHarness(StagedHarness):
    """Takes a record that is equal to another for the other one."""

    sink = two_phase(_LeavesEqualRecordsOut)


class _FlushesWhenClosed(SqliteStagedWriter):
    def close(self) -> None:
        with self._transaction():
            self._connection.executemany(self._insert, self._records)
        super().close()


class FlushesWhenClosedHarness(StagedHarness):
    """Writes what it still has when it is closed, as files and clients do."""

    sink = two_phase(_FlushesWhenClosed)


class _AbortsByPrefix(SqliteStagedWriter):
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        kept = {self._decode(committable)[1] for committable in keep}
        for lane in self._context.owned_lanes:
            found = self._connection.execute("SELECT DISTINCT handle FROM millstream_staged WHERE handle LIKE ?", [f"{self._name(lane)}%"]).fetchall()
            for (handle,) in found:
                if handle not in kept:
                    self._connection.execute("DELETE FROM millstream_staged WHERE handle = ?", [handle])


class AbortsByPrefixHarness(StagedHarness):
    """Takes the work of lane 10 for that of lane 1, whose name its own begins with."""

    sink = two_phase(_AbortsByPrefix)


class _ForgetsItsFormerLanes(SqliteStagedWriter):
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        lane = self._name(self._context.lane)
        self._connection.execute("DELETE FROM millstream_staged WHERE lane = ?", [lane])


class ForgetsItsFormerLanesHarness(StagedHarness):
    """Aborts in its own lane, and not in those that it has taken over."""

    sink = two_phase(_ForgetsItsFormerLanes)


class _NewestOfAllRuns(SqliteStagedWriter):
    def newest_committed(self, lane: int) -> int | None:
        row = self._connection.execute("SELECT max(checkpoint_id) FROM millstream_committed WHERE lane LIKE ?", [f"%/{lane}"]).fetchone()
        newest: int | None = row[0]
        return newest


class NewestOfAllRunsHarness(StagedHarness):
    """Tells one run what another has committed: its job would be refused as rewound."""

    sink = two_phase(_NewestOfAllRuns)


class _ChecksTheFenceFirst(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        self._check_fence(lane)
        with self._transaction():
            self._insert_rows(records)
            self._move_marker(lane, checkpoint_id, chunk)


class ChecksTheFenceFirstHarness(LedgerHarness):
    """Checks the fence in front of the transaction instead of in it."""

    sink = write_ahead(_ChecksTheFenceFirst)


class _ReadsMarkersAtTheOpening(SqliteLedgerLanes):
    def __init__(self, sink: SqliteLedgerSink, context: SinkContext) -> None:
        super().__init__(sink, context)
        self._markers = {lane: super(_ReadsMarkersAtTheOpening, self).read_marker(lane) for lane in context.owned_lanes}

    def read_marker(self, lane: int) -> Marker | None:
        return self._markers[lane]

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._check_fence(lane)
            self._insert_rows(records)
            self._move_marker(lane, checkpoint_id, chunk)
        self._markers[lane] = Marker(checkpoint_id, chunk)


class ReadsMarkersAtTheOpeningHarness(LedgerHarness):
    """Remembers markers that it has read in front of the fence."""

    sink = write_ahead(_ReadsMarkersAtTheOpening)


class _CommitsByHundreds(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        while len(records) > 100:
            with self._transaction():
                self._check_fence(lane)
                self._insert_rows(records[:100])
            records = records[100:]
        super().commit_batch(lane, checkpoint_id, chunk, records)


class CommitsByHundredsHarness(LedgerHarness):
    """Takes several transactions for an epoch that is large."""

    sink = write_ahead(_CommitsByHundreds)


class _ForgetsEveryRun(SqliteLedgerSink):
    def forget_run(self, run: EndedRun) -> None:
        connection = connect(self.path)
        connection.execute("DELETE FROM millstream_ledger")
        connection.close()


class ForgetsEveryRunHarness(LedgerHarness):
    """Removes the markers of all runs when one is over."""

    def sink(self, target: str) -> _ForgetsEveryRun:
        return _ForgetsEveryRun(target, TABLE, COLUMNS)


class _AppendingWriter(SinkWriter[Row]):
    def __init__(self, path: str) -> None:
        self._connection = connect(path)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(COLUMNS)})")

    def write(self, values: Sequence[Row], timestamps: Sequence[int] | None) -> None:
        self._connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?, ?)", values)

    def flush(self) -> None:
        """All is written."""

    def close(self) -> None:
        self._connection.close()


class _Appending(Sink[Row]):
    capabilities = SinkCapabilities(kind="idempotent")

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self, context: SinkContext) -> SinkWriter[Row]:
        return _AppendingWriter(self.path)


class NotIdempotentHarness(LedgerHarness):
    """Declares idempotent, and inserts a new row each time."""

    def sink(self, target: str) -> _Appending:  # type: ignore[override]
        return _Appending(target)


class _Modest(SqliteLedgerSink):
    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "capabilities", SinkCapabilities(kind="write_ahead", atomic_marker=True))


class ModestHarness(LedgerHarness):
    """Nothing is wrong with it: it declares less than it can."""

    def sink(self, target: str) -> _Modest:
        return _Modest(target, TABLE, COLUMNS)


class _Remembering(SqliteLedgerLanes):
    written: list[Row] = []  # noqa: RUF012 - what the harness reads

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Any]) -> None:
        super().commit_batch(lane, checkpoint_id, chunk, records)
        self.written.extend(records)


class ReadsTheClientsMemoryHarness(LedgerHarness):
    """Reads a list that the client keeps."""

    sink = write_ahead(_Remembering)

    def read(self, target: str) -> Sequence[Row]:
        return list(_Remembering.written)


class ReadsThroughTheSinkHarness(StagedHarness):
    """Asks the sink's own client for what is there."""

    def read(self, target: str) -> Sequence[Row]:
        from millstream_testkit.suites.attempts import Attempts

        attempts = Attempts(self, target)
        client = attempts.open(99).client
        try:
            client.newest_committed(0)
            return super().read(target)
        finally:
            attempts.close()


class TestCommitsAtPrepare(SinkSuite):
    harness = CommitsAtPrepareHarness


class TestCommitsOnLocalSnapshot(SinkSuite):
    harness = CommitsOnLocalSnapshotHarness


class TestWritesBeforeTheCheckpoint(SinkSuite):
    harness = WritesBeforeTheCheckpointHarness


class TestReusesItsHandle(SinkSuite):
    harness = ReusesItsHandleHarness


class TestNeverAborts(SinkSuite):
    harness = NeverAbortsHarness


class TestAbortsEverything(SinkSuite):
    harness = AbortsEverythingHarness


class TestRemembersOneEpoch(SinkSuite):
    harness = RemembersOneEpochHarness


class TestBreaksOnEmptyEpochs(SinkSuite):
    harness = BreaksOnEmptyEpochsHarness


class TestTakesUnknownForCommitted(SinkSuite):
    harness = TakesUnknownForCommittedHarness


class TestNeverCloses(SinkSuite):
    harness = NeverClosesHarness


class TestMarkerApart(SinkSuite):
    harness = MarkerApartHarness


class TestNoFence(SinkSuite):
    harness = NoFenceHarness


class TestForgetsItsMarker(SinkSuite):
    harness = ForgetsItsMarkerHarness


class TestOneMarkerForAll(SinkSuite):
    harness = OneMarkerForAllHarness


class TestNotIdempotent(SinkSuite):
    harness = NotIdempotentHarness


class TestModest(SinkSuite):
    harness = ModestHarness


class TestReadsTheClientsMemory(SinkSuite):
    harness = ReadsTheClientsMemoryHarness


class TestReadsThroughTheSink(SinkSuite):
    harness = ReadsThroughTheSinkHarness


class TestNewestFirst(SinkSuite):
    harness = NewestFirstHarness


class TestLeavesEqualRecordsOut(SinkSuite):
    harness = LeavesEqualRecordsOutHarness


class TestFlushesWhenClosed(SinkSuite):
    harness = FlushesWhenClosedHarness


class TestAbortsByPrefix(SinkSuite):
    harness = AbortsByPrefixHarness


class TestForgetsItsFormerLanes(SinkSuite):
    harness = ForgetsItsFormerLanesHarness


class TestNewestOfAllRuns(SinkSuite):
    harness = NewestOfAllRunsHarness


class TestChecksTheFenceFirst(SinkSuite):
    harness = ChecksTheFenceFirstHarness


class TestReadsMarkersAtTheOpening(SinkSuite):
    harness = ReadsMarkersAtTheOpeningHarness


class TestCommitsByHundreds(SinkSuite):
    harness = CommitsByHundredsHarness


class TestForgetsEveryRun(SinkSuite):
    harness = ForgetsEveryRunHarness
