"""What all kinds of the Kafka sink have in common: where it writes and what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from millstream.errors import InvalidArgument
from millstream_kafka.message import MessageMaker
from millstream_kafka.topic_encoders import TopicEncoders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream.contracts.format import Format
    from millstream_kafka.client import Client
    from millstream_kafka.settings import Connection

T = TypeVar("T")

DEFAULT_LIMIT_BYTES: Final = 1_000_000
"""Of a message: librdkafka's message.max.bytes."""
_LIMIT: Final = "message.max.bytes"
_LIMITS: Final = (1_000, 1_000_000_000)

_BETTER: Final = {
    "linger.ms": 5,
    "delivery.timeout.ms": 120_000,
    "partitioner": "murmur2_random",
    "topic.metadata.propagation.max.ms": 10_000,
}
"""Unless the user chose: batches at little cost in time; a broker that is away for minutes fails the attempt; a key, also an empty one, is in
the partition where Java's producer has it (the library's own partitioner deals empty keys out); and a topic that a function names and that is not
there is told as that, in front of the end of the time that a commit has."""


@dataclass(frozen=True)
class KafkaTarget(Generic[T]):
    """Where a sink writes.

    Attributes:
        connection: to the brokers.
        topic: name, or function of the record.
        format: of values.
        key: function of the record.
        headers: function of the record.
        partition: function of the record.
        key_format: of keys; None for keys that are bytes or text.
        marker_topic: where no record may go, None if there is none.
    """

    connection: Connection
    topic: str | Callable[[T], str]
    format: Format[T]
    key: Callable[[T], Any] | None = None
    headers: Callable[[T], Mapping[str, Any] | Sequence[tuple[str, Any]]] | None = None
    partition: Callable[[T], int] | None = None
    key_format: Format[Any] | None = None
    marker_topic: str | None = None

    @property
    def limit_bytes(self) -> int:
        """The largest message that the client takes."""
        return int(self.connection.settings.get(_LIMIT, DEFAULT_LIMIT_BYTES))

    def maker(self) -> MessageMaker[T]:
        """Makes messages of records."""
        values = TopicEncoders(self.format, "value")
        keys = TopicEncoders(self.key_format, "key") if self.key_format is not None else None
        return MessageMaker(self.topic, values, self.key, self.headers, self.partition, self.limit_bytes, keys, self.marker_topic)

    def settings(self, *, transactional: bool = False) -> dict[str, Any]:
        """Settings of a producer that are not the user's to choose, or better than the library's own.

        Args:
            transactional: the library fits the time for a message to the one for a transaction.
        """
        chosen = set(self.connection.settings)
        if "queue.buffering.max.ms" in chosen:  # the same by another name
            chosen.add("linger.ms")
        if transactional:
            chosen.add("delivery.timeout.ms")
        better = {name: value for name, value in _BETTER.items() if name not in chosen}
        return {**better, "enable.idempotence": True, "acks": "all"}

    def check(self, client: Client, maker: MessageMaker[T]) -> None:
        """Looks whether the topic is there and takes what the sink does, and has the schemas of its messages looked up.

        Topics that a function of the record names are not known yet.

        Raises:
            TopicUnknown: it is not there.
            KafkaRefused: it does not, or not from this user.
            KafkaUnreachable, KafkaFailed: the brokers do not say.
            RegistryError: a registry of schemas does not have them, or does not answer.
        """
        from millstream_kafka.preflight import check_topic

        if isinstance(self.topic, str):
            check_topic(client, self.connection.bootstrap_servers, self.topic, self.limit_bytes, has_keys=self.key is not None)
            maker.prepare(self.topic)


def check_limit(what: str, connection: Connection) -> None:
    """Looks at the largest message that the user allows.

    Raises:
        InvalidArgument: it is no number of bytes that librdkafka takes.
    """
    given: Any = connection.settings.get(_LIMIT, DEFAULT_LIMIT_BYTES)
    least, most = _LIMITS
    if isinstance(given, bool) or not str(given).isdecimal() or not least <= int(given) <= most:
        raise InvalidArgument(what=what, value=f"{_LIMIT!r}: {given!r}", allowed=f"a number of bytes, {least:,} to {most:,}")
