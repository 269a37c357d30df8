"""The sink that sends at once: what was written in front of a barrier is in the topic before the checkpoint is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.ports import crash_point
from millstream_kafka.capabilities import PLAIN
from millstream_kafka.client import Client, KafkaError, KafkaException
from millstream_kafka.deliveries import Deliveries
from millstream_kafka.fencing import raise_reason
from millstream_kafka.producing import produce, produce_values
from millstream_kafka.undelivered import NotTaken, undelivered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.guarantee import SinkCapabilities
    from millstream_kafka.target import KafkaTarget

T = TypeVar("T")

_STEP_S: Final = 0.5


@dataclass(frozen=True)
class AtLeastOnceKafkaSink(Sink[T]):
    """Sends at once."""

    target: KafkaTarget[T]
    capabilities: SinkCapabilities = field(init=False, default=PLAIN, repr=False)

    def open(self, context: SinkContext) -> AtLeastOnceWriter[T]:
        return AtLeastOnceWriter(self.target, context)


class AtLeastOnceWriter(SinkWriter[T]):
    """One producer."""

    def __init__(self, target: KafkaTarget[T], context: SinkContext) -> None:
        self._client = Client(target.connection, "KafkaSink")
        self._maker = target.maker()
        target.check(self._client, self._maker)
        self._topic: Any = target.topic
        self._reject = context.reject
        self._deliveries = Deliveries()
        self._producer = self._client.producer({**target.settings(), "on_delivery": self._deliveries.report, "delivery.report.only.error": True})

    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        plain = self._plain_values(values)
        messages = self._maker.valid_messages(values, timestamps, self._reject) if plain is None else []
        try:
            if plain is not None:
                produce_values(self._producer, self._topic, plain, timestamps)
            else:
                produce(self._producer, messages)
            self._producer.poll(0)
        except (KafkaException, SystemError) as error:
            self._raise_failures()  # an error that came up in a callback is hidden behind a SystemError
            raise_reason(self._client, "write records", error)
        self._raise_failures()
        crash_point("sink.write.mid_epoch")

    def _plain_values(self, values: Sequence[T]) -> list[bytes] | None:
        try:
            return self._maker.plain_values(values)
        except Exception:  # noqa: BLE001 - some record is at fault: which, is found by trying each
            return None

    def flush(self) -> None:
        crash_point("sink.prepare.before")
        while self._producer.flush(_STEP_S):
            self._raise_failures()
        self._raise_failures()
        crash_point("sink.prepare.after")

    def _raise_failures(self) -> None:
        """What a broker refuses for the record's own fault is rejected; all else fails the job."""
        for error, message in self._deliveries.take():
            if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise undelivered(self._client, NotTaken(error, message.topic() or "", message.partition()))
            value: Any = message.value()
            self._reject(value, ValueError(f"{error.str()}: the topic's max.message.bytes is lower than that"))

    def close(self) -> None:
        producer = self.__dict__.pop("_producer", None)
        if producer is not None:
            producer.purge()
            producer.flush(_STEP_S)
        self._client.close()
