"""The write-ahead sink: the records of a complete checkpoint and the lane's marker in one transaction.

A transaction whose outcome is not known is never committed again with the same producer. A new one with the same transactional id makes
the broker decide it, and the marker then tells what it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import Fenced
from millstream.ports import crash_point
from millstream_kafka.capabilities import WRITE_AHEAD
from millstream_kafka.client import Client, Producer
from millstream_kafka.deliveries import Deliveries
from millstream_kafka.fencing import raise_failure
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.marker_topic import MarkerTopic, forget_markers, key_of
from millstream_kafka.message import MessageMaker, OutgoingMessage
from millstream_kafka.producing import begin_transactions, produce

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.guarantee import SinkCapabilities
    from millstream.contracts.sink import EndedRun, SinkContext
    from millstream_kafka.target import KafkaTarget

T = TypeVar("T")

_READ_S: Final = 30.0
_COMMIT_S: Final = 30.0


@dataclass(frozen=True)
class ExactlyOnceKafkaSink(WriteAheadSink[T]):
    """Writes behind complete checkpoints.

    Attributes:
        target: where.
        prefix: of transactional ids.
        marker_topic: where markers are kept.
        timeout_s: of a transaction.
    """

    target: KafkaTarget[T]
    prefix: str
    marker_topic: str
    timeout_s: float
    capabilities: SinkCapabilities = field(init=False, default=WRITE_AHEAD, repr=False)
    record_type: Any = field(init=False, default=OutgoingMessage, repr=False)
    trusted_log_form: bool = field(init=False, default=True, repr=False)

    def log_form(self, records: Sequence[T], timestamps: Sequence[int] | None) -> Sequence[OutgoingMessage]:
        return self.maker().messages(records, timestamps)

    def maker(self) -> MessageMaker[T]:
        """Makes messages of records. One for each process: an encoder is no part of a description."""
        maker: MessageMaker[T] | None = self.__dict__.get("_maker")
        if maker is None:
            maker = self.target.maker()
            object.__setattr__(self, "_maker", maker)
        return maker

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_maker"}

    def open(self, context: SinkContext) -> KafkaLanes:
        return KafkaLanes(self, context)

    def forget_run(self, run: EndedRun) -> None:
        forget_markers(self.target, self.marker_topic, run)


class KafkaLanes(WriteAheadLanes[OutgoingMessage]):
    """A producer per lane."""

    def __init__(self, sink: ExactlyOnceKafkaSink[Any], context: SinkContext) -> None:
        self._sink = sink
        self._context = context
        self._client = Client(sink.target.connection, "KafkaSink")
        sink.target.check(self._client, sink.maker())
        self._markers = MarkerTopic(self._client, sink.marker_topic, context.clock)
        self._producers: dict[int, Producer] = {}
        self._deliveries = Deliveries()

    def _transactional_id(self, lane: int) -> str:
        return f"{self._sink.prefix}-{self._context.run_id}-{self._context.sink_uid}-{lane}"

    def fence(self, lane: int) -> None:
        self._discard(lane)
        name = self._transactional_id(lane)
        timeout_ms = round(self._sink.timeout_s * 1000)
        settings = {
            **self._sink.target.settings(transactional=True),
            "transactional.id": name,
            "transaction.timeout.ms": timeout_ms,
            "on_delivery": self._deliveries.report,
            "delivery.report.only.error": True,
        }
        producer = begin_transactions(self._client, settings, name, self._sink.marker_topic)
        self._producers[lane] = producer

    def read_marker(self, lane: int) -> Marker | None:
        # Whoever has a transaction open ends it, or it times out: only then is it known what is in front of the end.
        return self._markers.read(self._key(lane), self._sink.timeout_s + _READ_S, strict=True)

    def _key(self, lane: int) -> bytes:
        return key_of(self._context.run_id, self._context.sink_uid, lane)

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[OutgoingMessage]) -> None:
        producer = self._producers.get(lane)
        if producer is None:  # an earlier commit failed: the next attempt finds out what became of it
            raise Fenced(sink_uid=self._context.sink_uid, lane=lane, attempt=self._context.attempt)
        marker = self._markers.message(self._key(lane), Marker(checkpoint_id, chunk))
        self._deliveries.take()  # of producers that were given up
        try:
            producer.begin_transaction()
            half = len(records) // 2
            produce(producer, records[:half])
            crash_point("sink.commit.mid")
            produce(producer, records[half:])
            produce(producer, [marker])
            interruptibly(lambda: producer.commit_transaction(_COMMIT_S))
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody knows what became of the transaction
            doing = f"commit checkpoint {checkpoint_id} of lane {lane}"
            try:
                raise_failure(self._client, self._context, lane, doing, error, producer, self._deliveries)
            finally:
                self._discard(lane)
        crash_point("sink.commit.applied_no_ack")

    def _discard(self, lane: int) -> None:
        producer = self._producers.pop(lane, None)
        if producer is not None:
            producer.purge()

    def close(self) -> None:
        for lane in list(self._producers):
            self._discard(lane)
        self._client.close()
