"""The two-phase sink: records go into an open transaction at once, which is committed when its checkpoint is complete.

Each epoch has a producer and a transactional id of its own. With one for several, finishing epoch N after a crash would commit the
half-written epoch behind it as well: producer id and epoch are the same. The marker in each transaction proves that it was committed when
its coordinator cannot tell any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from millstream.contracts.two_phase_commit import CommitOutcome, Committed, Retry, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.contracts.versions import check_version
from millstream.contracts.write_ahead import Marker
from millstream.errors import LostEpoch
from millstream.ports import ThreadExecutor, crash_point
from millstream_kafka.capabilities import two_phase
from millstream_kafka.client import Client, KafkaError, KafkaException, Producer, log
from millstream_kafka.deliveries import Deliveries
from millstream_kafka.fencing import is_fenced, raise_failure
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.left_behind import left_behind
from millstream_kafka.marker_topic import MarkerTopic, forget_markers, key_of
from millstream_kafka.patience import patiently
from millstream_kafka.producing import begin_transactions, produce
from millstream_kafka.second_client import RETRIED, Transactions
from millstream_kafka.transaction import Handle
from millstream_kafka.undelivered import first_cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.guarantee import SinkCapabilities
    from millstream.contracts.sink import EndedRun, SinkContext
    from millstream_kafka.target import KafkaTarget

T = TypeVar("T")

_COMMIT_S: Final = 30.0
_STEP_S: Final = 0.5
_AGAIN_S: Final = 0.1
_CLOSE_S: Final = 1.0
_MOVED_S: Final = 30.0
"""For another broker to take over what a coordinator has left: brokers need 9 s to miss one of them, if not told otherwise."""


@dataclass(frozen=True)
class TwoPhaseKafkaSink(TwoPhaseCommitSink[T]):
    """Writes at once, and commits behind complete checkpoints.

    Attributes:
        target: where.
        prefix: of transactional ids.
        marker_topic: where markers are kept.
        timeout_s: of a transaction: a job that is down longer loses what it has prepared.
    """

    target: KafkaTarget[T]
    prefix: str
    marker_topic: str
    timeout_s: float
    capabilities: SinkCapabilities = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", two_phase(self.timeout_s))

    def open(self, context: SinkContext) -> TwoPhaseWriter[T]:
        return TwoPhaseWriter(self, context)

    def forget_run(self, run: EndedRun) -> None:
        forget_markers(self.target, self.marker_topic, run)


@dataclass(slots=True)
class _Open:
    """A producer with its transaction, begun when the first record comes."""

    producer: Producer
    handle: Handle
    begun: bool = False


class TwoPhaseWriter(TwoPhaseCommitWriter[T]):
    """A producer per epoch, the next one made ahead."""

    def __init__(self, sink: TwoPhaseKafkaSink[T], context: SinkContext) -> None:
        self._sink = sink
        self._context = context
        self._client = Client(sink.target.connection, "KafkaSink")
        self._maker = sink.target.maker()
        sink.target.check(self._client, self._maker)
        self._markers = MarkerTopic(self._client, sink.marker_topic, context.clock)
        self._transactions = Transactions(sink.target.connection)
        self._deliveries = Deliveries()
        self._made = 0
        self._prepared: dict[bytes, Producer] = {}
        self._current: _Open | None = None
        self._ids: set[str] = set()
        self._executor = ThreadExecutor(1)
        self._ahead = _Ahead(self._executor, self._new)
        try:
            self._ahead.wait()  # the first of them tells before any record comes whether the user has the rights and the brokers take the timeout
        except BaseException:
            self.close()
            raise

    def _lane_prefix(self, lane: int) -> str:
        return f"{self._sink.prefix}-{self._context.run_id}-{self._context.sink_uid}-{lane}-"

    def _new(self) -> _Open:
        """On the executor's thread, one at a time."""
        self._made += 1
        name = f"{self._lane_prefix(self._context.lane)}{self._context.attempt}-{self._made}"
        self._ids.add(name)
        producer = self._begun(name)
        return _Open(producer, patiently(lambda: self._transactions.handle(name), _MOVED_S))

    def _begun(self, name: str) -> Producer:
        return begin_transactions(self._client, self._settings(name), name, self._sink.marker_topic)

    def _settings(self, name: str) -> dict[str, Any]:
        return {
            **self._sink.target.settings(transactional=True),
            "transactional.id": name,
            "transaction.timeout.ms": round(self._sink.timeout_s * 1000),
            "on_delivery": self._deliveries.report,
            "delivery.report.only.error": True,
        }

    # --- records

    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        messages = self._maker.valid_messages(values, timestamps, self._context.reject)
        current = self._current
        if current is None:
            current = self._current = self._ahead.take()
        try:
            if not current.begun:
                current.producer.begin_transaction()
                current.begun = True
            produce(current.producer, messages)
            current.producer.poll(0)
        except (KafkaException, SystemError) as error:
            self._fail("write into the open transaction", error, current.producer)
        self._raise_failures()
        crash_point("sink.write.mid_epoch")

    def _fail(self, doing: str, error: BaseException, producer: Producer | None = None) -> NoReturn:
        raise_failure(self._client, self._context, self._context.lane, doing, error, producer, self._deliveries)

    def _raise_failures(self) -> None:
        failed = self._deliveries.take()
        if failed:
            self._fail("write into the open transaction", first_cause(failed) or KafkaException(failed[0][0]))

    def prepare(self, checkpoint_id: int) -> bytes | None:
        crash_point("sink.prepare.before")
        current = self._current
        if current is None or not current.begun:
            crash_point("sink.prepare.after")
            return None
        self._current = None
        lane = self._context.lane
        marker = self._markers.message(self._key(lane), Marker(checkpoint_id, 0))
        try:
            produce(current.producer, [marker])
            crash_point("sink.prepare.mid")
            while current.producer.flush(_STEP_S):
                self._raise_failures()
        except (KafkaException, SystemError) as error:
            self._fail(f"prepare checkpoint {checkpoint_id}", error, current.producer)
        self._raise_failures()
        committable = msgspec.msgpack.encode(current.handle)
        self._prepared[committable] = current.producer
        crash_point("sink.prepare.after")
        return committable

    def _key(self, lane: int) -> bytes:
        return key_of(self._context.run_id, self._context.sink_uid, lane)

    # --- commit

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        producer = self._prepared.pop(committable, None)
        if producer is not None:
            try:
                interruptibly(partial(producer.commit_transaction, _COMMIT_S))
            except (KafkaException, SystemError) as error:
                if is_fenced(error):
                    self._fail(f"commit checkpoint {checkpoint_id}", error)
                return Retry(0.0, f"the outcome of the commit is not known: {error}")
            return Committed()
        handle = msgspec.msgpack.decode(committable, type=Handle)
        check_version("What a Kafka sink has prepared", handle.version, 1)
        crash_point("sink.commit.mid")
        code = self._transactions.end(handle, commit=True)
        if code in RETRIED:
            return Retry(_AGAIN_S, f"the coordinator of {handle.transactional_id} answered {KafkaError(code).name()}")
        if code == 0:
            # Decided, and soon visible. Whoever still has the producer must not write with it any more.
            self._begun(handle.transactional_id)
            return Committed()
        if self._is_proved(lane, checkpoint_id):
            return Committed(already=True)
        name = KafkaError(code).name()
        what = f"transaction {handle.transactional_id!r}, of producer {handle.producer_id} and epoch {handle.producer_epoch}: {name}"
        raise LostEpoch(sink_uid=self._context.sink_uid, lane=lane, checkpoint_id=checkpoint_id, what=what)

    def _is_proved(self, lane: int, checkpoint_id: int) -> bool:
        newest = self.newest_committed(lane)
        return newest is not None and newest >= checkpoint_id

    def newest_committed(self, lane: int) -> int | None:
        marker = self._markers.newest(self._key(lane), self._transactions)
        return marker.checkpoint_id if marker is not None else None

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        kept = {msgspec.msgpack.decode(committable, type=Handle).transactional_id for committable in keep}
        for lane in self._context.owned_lanes:
            prefix = self._lane_prefix(lane)
            listed = patiently(partial(self._transactions.listed, prefix), _MOVED_S)
            for left in left_behind(listed, prefix, self._context.attempt, kept | self._ids):
                name = left.transactional_id
                log.info("taking over transactional id %s (%s), which an earlier attempt has left behind", name, left.state)
                self._begun(name)
                crash_point("recovery.mid_abort")

    def close(self) -> None:
        # What is prepared stays. Producers are released, never closed: that would abort their transactions.
        self._ahead.close()
        if self._current is not None:
            self._current.producer.purge()
            self._current = None
        self._prepared.clear()
        self._transactions.close()
        self._client.close()


class _Ahead:
    """Makes the next producer before it is needed."""

    def __init__(self, executor: ThreadExecutor, make: Any) -> None:
        self._executor = executor
        self._make = make
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._ready = Event()
        self._made: list[tuple[_Open | None, BaseException | None]] = []
        self._executor.submit(self._make, self._done)

    def _done(self, made: _Open | None, error: BaseException | None) -> None:
        if not self._closed:
            self._made.append((made, error))
        self._ready.set()

    def close(self) -> None:
        """Releases what nobody has taken. What is being made while no broker answers is left to its thread, which has nobody to give it to."""
        self._closed = True
        self._executor.close(_CLOSE_S)
        self._made.clear()

    def wait(self) -> _Open:
        """The next one, when it is ready; it stays the next one. Raises what its making raised."""
        self._ready.wait()
        made, error = self._made[0]
        if error is not None or made is None:
            raise error or RuntimeError("no producer was made")
        return made

    def take(self) -> _Open:
        """The next one; another is begun in its place."""
        made = self.wait()
        self._begin()
        return made
