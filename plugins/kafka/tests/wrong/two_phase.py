"""Two-phase sinks for Kafka that break their promise, each by one mistake, with the suites that must catch them.

Not collected by itself: `test_wrong_sinks.py` runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import msgspec
import pytest

from millstream.contracts.sink import SinkContext
from millstream.contracts.two_phase_commit import CommitOutcome, Committed
from millstream.errors import LostEpoch
from millstream_kafka import second_client, two_phase
from millstream_kafka.client import Producer
from millstream_kafka.second_client import Transactions
from millstream_kafka.transaction import Handle
from millstream_kafka.two_phase import TwoPhaseKafkaSink, TwoPhaseWriter, _Open
from millstream_testkit import SinkSuite
from millstream_testkit.loading import load
from millstream_testkit.oracle import Row

pytestmark = pytest.mark.usefixtures("millstream_kafka")

# The target and the stranger who reads it are those of the right sink.
TwoPhaseHarness: Any = load(f"{Path(__file__).parents[1] / 'test_conformance.py'}:TwoPhaseHarness")


@dataclass(frozen=True)
class OtherWriter(TwoPhaseKafkaSink[Row]):
    """The sink with another writer."""

    writer: type[TwoPhaseWriter[Row]] = TwoPhaseWriter

    def open(self, context: SinkContext) -> TwoPhaseWriter[Row]:
        return self.writer(self, context)


class OtherWriterHarness(TwoPhaseHarness):
    """With the right writer it is the right sink."""

    writer: ClassVar[type[TwoPhaseWriter[Row]]] = TwoPhaseWriter

    def sink(self, target: str) -> OtherWriter:
        right = super().sink(target).resolve()
        return OtherWriter(right.target, right.prefix, right.marker_topic, right.timeout_s, self.writer)


class _OneProducer(TwoPhaseWriter[Row]):
    _only: _Open | None = None

    def _new(self) -> _Open:
        self._only = self._only or super()._new()
        return self._only

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        outcome = super().commit(lane, checkpoint_id, committable)
        if self._only is not None:
            self._only.begun = False
        return outcome


class OneProducerHarness(OtherWriterHarness):
    """One producer, and one transactional id, for all epochs: what comes behind the barrier goes into the transaction in front of it."""

    writer = _OneProducer


class _PooledProducers(TwoPhaseWriter[Row]):
    def __init__(self, sink: TwoPhaseKafkaSink[Row], context: SinkContext) -> None:
        self._free: list[tuple[Producer, Handle]] = []
        super().__init__(sink, context)

    def write(self, values: Sequence[Row], timestamps: Sequence[int] | None) -> None:
        if self._current is None and self._free:
            self._current = _Open(*self._free.pop())
        super().write(values, timestamps)

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        producer = self._prepared.get(committable)
        outcome = super().commit(lane, checkpoint_id, committable)
        if producer is not None and isinstance(outcome, Committed):
            self._free.append((producer, msgspec.msgpack.decode(committable, type=Handle)))
        return outcome


class PooledProducersHarness(OtherWriterHarness):
    """A producer for each epoch that waits, and used again when its epoch is committed: producer id and epoch are the same."""

    writer = _PooledProducers


class _CommitsAtPrepare(TwoPhaseWriter[Row]):
    def prepare(self, checkpoint_id: int) -> bytes | None:
        committable = super().prepare(checkpoint_id)
        if committable is not None:
            self.commit(self._context.lane, checkpoint_id, committable)
        return committable


class CommitsAtPrepareHarness(OtherWriterHarness):
    """Takes its own snapshot for the complete checkpoint."""

    writer = _CommitsAtPrepare


class _CommitsOnTheNextSnapshot(TwoPhaseWriter[Row]):
    _before: tuple[int, bytes] | None = None

    def prepare(self, checkpoint_id: int) -> bytes | None:
        if self._before is not None:
            self.commit(self._context.lane, *self._before)
        committable = super().prepare(checkpoint_id)
        self._before = None if committable is None else (checkpoint_id, committable)
        return committable


class CommitsOnTheNextSnapshotHarness(OtherWriterHarness):
    """Takes its own next snapshot for the news that the last checkpoint is complete."""

    writer = _CommitsOnTheNextSnapshot


class _EndTxn5(Transactions):
    def end(self, handle: Handle, *, commit: bool) -> int:
        with patch.object(second_client, "_NEWEST_END_TXN", 5):
            return super().end(handle, commit=commit)


class _NewestEndTxn(TwoPhaseWriter[Row]):
    def __init__(self, sink: TwoPhaseKafkaSink[Row], context: SinkContext) -> None:
        with patch.object(two_phase, "Transactions", _EndTxn5):
            super().__init__(sink, context)


class NewestEndTxnHarness(OtherWriterHarness):
    """Repeats by EndTxn 5, the newest that the broker has, what the producer has committed by EndTxn 1.

    The coordinator says of what is committed that it is lost. The marker knows better, so that nothing comes of it: not wrong to a reader.
    """

    writer = _NewestEndTxn


class _BelievesTheCoordinator(TwoPhaseWriter[Row]):
    def _is_proved(self, lane: int, checkpoint_id: int) -> bool:
        return False


class BelievesTheCoordinatorHarness(OtherWriterHarness):
    """Never looks for the marker: the control for `NewestEndTxnUnproved`. EndTxn 4 is right about a commit that is repeated once."""

    writer = _BelievesTheCoordinator


class _NewestEndTxnUnproved(_BelievesTheCoordinator, _NewestEndTxn):
    pass


class NewestEndTxnUnprovedHarness(OtherWriterHarness):
    """The same without a marker: the job stops for ever at what is committed."""

    writer = _NewestEndTxnUnproved


class _SlowToSend(TwoPhaseWriter[Row]):
    def _settings(self, name: str) -> dict[str, Any]:
        return {**super()._settings(name), "linger.ms": 20_000}


class SlowToSendHarness(OtherWriterHarness):
    """The right sink with a client that sends late, unless it is told to: the control for `SkipsTheFlush`."""

    writer = _SlowToSend


class _SkipsTheFlush(_SlowToSend):
    def prepare(self, checkpoint_id: int) -> bytes | None:
        current, self._current = self._current, None
        if current is None or not current.begun:
            return None
        committable = msgspec.msgpack.encode(current.handle)
        self._prepared[committable] = current.producer
        return committable


class SkipsTheFlushHarness(OtherWriterHarness):
    """Says that an epoch is prepared while its records are still in the memory of the process."""

    writer = _SkipsTheFlush


class _InitBeforeEnd(TwoPhaseWriter[Row]):
    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        if committable not in self._prepared:
            name = msgspec.msgpack.decode(committable, type=Handle).transactional_id
            self._begun(name)
        return super().commit(lane, checkpoint_id, committable)


class InitBeforeEndHarness(OtherWriterHarness):
    """Fences the old producer first and commits then: to begin an id anew aborts what is open under it."""

    writer = _InitBeforeEnd


class _TakesUnknownForCommitted(TwoPhaseWriter[Row]):
    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        try:
            return super().commit(lane, checkpoint_id, committable)
        except LostEpoch:
            return Committed(already=True)


class TakesUnknownForCommittedHarness(OtherWriterHarness):
    """Takes a coordinator that does not know the epoch any more for one that has committed it."""

    writer = _TakesUnknownForCommitted


class _NeverAborts(TwoPhaseWriter[Row]):
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        """The broker's timeout will do it."""


class NeverAbortsHarness(OtherWriterHarness):
    writer = _NeverAborts


class TestOneProducer(SinkSuite):
    harness = OneProducerHarness


class TestPooledProducers(SinkSuite):
    harness = PooledProducersHarness


class TestCommitsAtPrepare(SinkSuite):
    harness = CommitsAtPrepareHarness


class TestCommitsOnTheNextSnapshot(SinkSuite):
    harness = CommitsOnTheNextSnapshotHarness


class TestNewestEndTxn(SinkSuite):
    harness = NewestEndTxnHarness


class TestBelievesTheCoordinator(SinkSuite):
    harness = BelievesTheCoordinatorHarness


class TestNewestEndTxnUnproved(SinkSuite):
    harness = NewestEndTxnUnprovedHarness


class TestSlowToSend(SinkSuite):
    harness = SlowToSendHarness


class TestSkipsTheFlush(SinkSuite):
    harness = SkipsTheFlushHarness


class TestInitBeforeEnd(SinkSuite):
    harness = InitBeforeEndHarness


class TestTakesUnknownForCommitted(SinkSuite):
    harness = TakesUnknownForCommittedHarness


class TestNeverAborts(SinkSuite):
    harness = NeverAbortsHarness
