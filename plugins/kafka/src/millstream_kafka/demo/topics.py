"""Two topics that are there for one demonstration only."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from millstream_kafka.client import KafkaError, KafkaException, NewTopic, TopicPartition, log
from millstream_kafka.demo.readings import partition_of, readings

if TYPE_CHECKING:
    import threading

    from millstream_kafka.client import Client

PARTITIONS: Final = 4
_ANSWER_S: Final = 30.0
_BURST: Final = 100
"""Messages between two looks at the clock."""


class DemoTopics:
    """Makes, feeds, reads and removes them.

    Args:
        client: of the broker.
        suffix: of their names.
    """

    def __init__(self, client: Client, suffix: str) -> None:
        self._client = client
        self._admin = client.admin()
        self.input = f"millstream-demo-readings-{suffix}"
        self.output = f"millstream-demo-lowest-{suffix}"

    def make(self) -> None:
        """Raises KafkaUnreachable or KafkaRefused."""
        # Results carry the time of their readings, which may be long ago: retention would remove them at once.
        topics = [NewTopic(name, PARTITIONS, config={"retention.ms": "-1"}) for name in (self.input, self.output)]
        for name, made in self._admin.create_topics(topics, request_timeout=_ANSWER_S).items():
            try:
                made.result()
            except KafkaException as error:
                self._client.fail(f"make topic {name!r}", error)

    def remove(self) -> None:
        """If the broker can still be talked to."""
        for name, removed in self._admin.delete_topics([self.input, self.output], request_timeout=_ANSWER_S).items():
            try:
                removed.result()
            except KafkaException as error:
                log.warning("topic %s was not removed: %s", name, error)

    def ends(self, count: int, seed: int) -> list[int]:
        """How many readings each partition gets."""
        found = [0] * PARTITIONS
        for sensor, _, _ in readings(count, seed):
            found[partition_of(sensor, PARTITIONS)] += 1
        return found

    def feed(self, count: int, seed: int, rate: float, over: threading.Event) -> None:
        """Writes the readings, so many a second, until they or the demonstration are over."""
        producer = self._client.producer({"linger.ms": 20, "enable.idempotence": True})  # else a request that is repeated doubles readings
        begun_s = time.monotonic()
        for number, (sensor, time_ms, temperature) in enumerate(readings(count, seed)):
            value = f"{sensor},{time_ms},{temperature}"
            producer.produce(self.input, value, sensor, partition=partition_of(sensor, PARTITIONS), timestamp=time_ms)
            if number % _BURST == 0:
                producer.poll(0)
                if over.wait(max(0.0, number / rate - (time.monotonic() - begun_s))):
                    break
        producer.flush(_ANSWER_S)

    def results(self) -> list[str]:
        """All that a reader with read_committed finds, partition by partition."""
        settings: dict[str, Any] = {"group.id": uuid.uuid4().hex, "isolation.level": "read_committed", "enable.partition.eof": True}
        consumer = self._client.consumer({**settings, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        found: dict[int, list[str]] = {number: [] for number in range(PARTITIONS)}
        try:
            consumer.assign([TopicPartition(self.output, number, 0) for number in found])
            left = set(found)
            over_s = time.monotonic() + _ANSWER_S
            while left and time.monotonic() < over_s:
                for message in consumer.consume(1_000, 0.2):
                    error, partition = message.error(), message.partition() or 0
                    if error is None:
                        found[partition].append((message.value() or b"").decode())
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(partition)
                    else:
                        self._client.fail(f"read topic {self.output!r}", error)
        finally:
            consumer.close()
        return [result for partition in found.values() for result in partition]
