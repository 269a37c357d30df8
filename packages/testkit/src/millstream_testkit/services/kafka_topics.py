"""Topics of a job under test: one with its input, one for its output."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream_testkit.services.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from millstream_testkit.services.kafka import KafkaService

_ANSWER_S: Final = 60.0


@dataclass(frozen=True)
class KafkaInput:
    """`source=` of `exactly_once_test`: a topic with these messages. The job's first argument is `host:port/topic`.

    Attributes:
        service: the broker.
        messages: values, or pairs of key and value; those with a key are in the partition that the key decides, the others are dealt out.
        partitions: of the topic.
    """

    service: KafkaService
    messages: Sequence[str | bytes | tuple[str | bytes | None, str | bytes | None]]
    partitions: int = 2

    def __call__(self, folder: Path) -> str:
        """Makes the topic and writes the messages."""
        from confluent_kafka import Producer

        topic = _make_topic(self.service.bootstrap, self.partitions)
        producer = Producer({"bootstrap.servers": self.service.bootstrap, "enable.idempotence": True, "log_level": 0})
        for number, message in enumerate(self.messages):
            if isinstance(message, tuple):
                producer.produce(topic, message[1], message[0])
            else:
                producer.produce(topic, message, partition=number % self.partitions)
        if producer.flush(_ANSWER_S):
            raise _not_done(self.service.bootstrap, f"topic {topic} could not be written")
        return f"{self.service.bootstrap}/{topic}"


@dataclass(frozen=True)
class KafkaOutput:
    """`sink=` of `exactly_once_test`: a topic of its own for each life of the job, whose second argument is `host:port/topic`.

    Read with `isolation.level=read_committed`, as pairs of key and value, both bytes or None.

    Attributes:
        service: the broker.
        partitions: of the topic.
    """

    service: KafkaService
    partitions: int = 2

    def create_target(self, folder: Path) -> str:
        """Makes the topic."""
        return f"{self.service.bootstrap}/{_make_topic(self.service.bootstrap, self.partitions)}"

    def read(self, target: str) -> list[tuple[bytes | None, bytes | None]]:
        """All that is committed."""
        topic = target.rpartition("/")[2]
        return [(message.key(), message.value()) for message in messages_of(self.service.bootstrap, topic)]

    def drop_target(self, target: str) -> None:
        """Removes the topic."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.service.bootstrap, "log_level": 0})
        for removed in admin.delete_topics([target.rpartition("/")[2]]).values():
            removed.result(_ANSWER_S)

    def leftovers(self, target: str) -> list[str]:
        """Records that are in the topic and hidden: what an open transaction hides stays so until it is ended, for every reader of the topic."""
        topic = target.rpartition("/")[2]
        hidden = sum(high - stable for high, stable in _ends(self.service.bootstrap, topic))
        return [f"an open transaction, which hides {hidden} offsets of topic {topic}"] if hidden else []


def messages_of(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[Any]:
    """Messages of a topic up to where it ends now, partition by partition.

    Args:
        bootstrap: address of the broker.
        topic: it exists.
        isolation: `read_committed`, or `read_uncommitted` for what is hidden, too.

    Raises:
        ServiceUnavailable: the end was not seen within a minute.
    """
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": isolation, "log_level": 0}
    consumer = Consumer(
        {**settings, "enable.partition.eof": True, "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50}
    )
    try:
        left = set(consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        found: list[Any] = []
        over_s = time.monotonic() + _ANSWER_S
        while left:
            if time.monotonic() > over_s:
                raise _not_done(bootstrap, f"the end of topic {topic} was not seen within {_ANSWER_S:.0f} s")
            for message in consumer.consume(1_000, 0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
    finally:
        consumer.close()
    return sorted(found, key=lambda message: (message.partition(), message.offset()))


def _make_topic(bootstrap: str, partitions: int) -> str:
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # it is documented to be there

    topic = f"millstream-test-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    # Records may carry the event time of long ago, and retention counts from that.
    admin.create_topics([NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})])[topic].result(_ANSWER_S)
    return topic


def _ends(bootstrap: str, topic: str) -> list[tuple[int, int]]:
    """High watermark and last stable offset of each partition."""
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is documented to be there

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    partitions = admin.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}  # type: ignore[no-untyped-call]  # the library types a part of itself
    levels = (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED)
    high, stable = ([future.result(_ANSWER_S).offset for future in admin.list_offsets(asked, isolation_level=level).values()] for level in levels)
    return list(zip(high, stable, strict=True))


def _not_done(bootstrap: str, reason: str) -> ServiceUnavailable:
    return ServiceUnavailable(service="kafka", reason=f"at {bootstrap}, {reason}", fix="See the broker's log")
