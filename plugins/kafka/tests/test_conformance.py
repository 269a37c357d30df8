"""The Kafka source and sink pass the suites of the test kit, against a real broker."""

from __future__ import annotations

import atexit
import json
import os
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from millstream.formats import JsonLinesFormat
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_testkit import SinkHarness, SinkSuite, SourceHarness, SourceSuite
from millstream_testkit.oracle import Row
from millstream_testkit.services import KafkaService, ServiceUnavailable, messages_of, running_kafka, shared_kafka
from millstream_testkit.services.fixtures import is_required
from millstream_testkit.services.kafka import VERSION

pytestmark = [pytest.mark.usefixtures("millstream_kafka"), pytest.mark.one_python]


def key_of_row(row: Row) -> str:
    """The second of its three numbers."""
    return str(row[1])


class ExactlyOnceHarness(SinkHarness):
    """`KafkaSink(delivery="exactly_once")`: write-ahead, with the marker in the same transaction. A target is `host:port/topic`."""

    name = "KafkaSink(exactly_once)"
    oversized_records = 120_000
    example_target = "127.0.0.1:9092/example"
    delivery = "exactly_once"

    def create_target(self, folder: Path) -> str:
        topic, bootstrap = f"out-{uuid.uuid4().hex}", self.broker().bootstrap
        client = AdminClient({"bootstrap.servers": bootstrap})
        # The suite's records have event times of 1970, which are the timestamps of their messages: retention would take them at once.
        # The sink makes its topic of markers itself, with more partitions than a broker likes to make for each of hundreds of targets.
        markers = NewTopic(f"markers-{topic}", 2, 1, config={"cleanup.policy": "compact"})
        for made in client.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "-1"}), markers]).values():
            made.result()
        return f"{bootstrap}/{topic}"

    def broker(self) -> KafkaService:
        """Where targets are made."""
        return shared_kafka()

    def drop_target(self, target: str) -> None:
        bootstrap, _, topic = target.partition("/")
        client = AdminClient({"bootstrap.servers": bootstrap})
        for removed in client.delete_topics([topic, f"markers-{topic}"]).values():
            removed.result()

    def sink(self, target: str) -> KafkaSink[Row]:
        bootstrap, _, topic = target.partition("/")
        # The suite opens the same run for each target, and a run's ids and markers are those of one broker.
        apart = {"marker_topic": f"markers-{topic}", "transactional_id_prefix": topic}
        return KafkaSink(bootstrap, topic, format="json", delivery=self.delivery, key=key_of_row, **apart)

    def read(self, target: str) -> Sequence[Row]:
        bootstrap, _, topic = target.partition("/")
        return [tuple(json.loads(message.value())) for message in messages_of(bootstrap, topic)]


class AtLeastOnceHarness(ExactlyOnceHarness):
    """`KafkaSink(delivery="at_least_once")`."""

    name = "KafkaSink(at_least_once)"
    delivery = "at_least_once"


def produced(bootstrap: str, topic: str, values: Sequence[tuple[int, bytes]]) -> None:
    """Writes values to partitions, with nothing of the connector."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for partition, value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0


class BoundedSourceHarness(SourceHarness):
    """`KafkaSource(stop=Offsets.latest())`. An origin is `host:port/topic`."""

    name = "KafkaSource(stop=...)"
    example_origin = "127.0.0.1:9092/example"

    def create_origin(self, folder: Path) -> str:
        service, topic = shared_kafka(), f"in-{uuid.uuid4().hex}"
        bootstrap = service.bootstrap if service.network is None else service.proxied
        client = AdminClient({"bootstrap.servers": bootstrap})
        client.create_topics([NewTopic(topic, 3, 1)])[topic].result()
        produced(bootstrap, topic, [(number % 3, b'{"number": %d}' % number) for number in range(60)])
        return f"{bootstrap}/{topic}"

    def hang(self, origin: str) -> bool:
        network = shared_kafka().network
        if network is None:  # a broker that was given from outside cannot be made to
            return False
        network.cut()
        return True

    def drop_origin(self, origin: str) -> None:
        network = shared_kafka().network
        if network is not None:
            network.heal()
        bootstrap, _, topic = origin.partition("/")
        client = AdminClient({"bootstrap.servers": bootstrap})
        client.delete_topics([topic])[topic].result()

    def source(self, origin: str) -> KafkaSource[Any]:
        bootstrap, _, topic = origin.partition("/")
        return KafkaSource(bootstrap, topic, format=JsonLinesFormat(dict), stop=Offsets.latest())

    def expected(self, origin: str) -> Sequence[Any]:
        bootstrap, _, topic = origin.partition("/")
        return [json.loads(message.value()) for message in messages_of(bootstrap, topic) if message.value().startswith(b"{")]

    def lose(self, origin: str) -> bool:
        bootstrap, _, topic = origin.partition("/")
        client = AdminClient({"bootstrap.servers": bootstrap})
        for future in client.delete_records([TopicPartition(topic, number, -1) for number in range(3)]).values():
            future.result()
        return True

    def spoil(self, origin: str) -> int:
        bootstrap, _, topic = origin.partition("/")
        produced(bootstrap, topic, [(0, b"no json"), (2, b"[1")])
        return 2


class UnboundedSourceHarness(BoundedSourceHarness):
    """`KafkaSource` for ever, looking for new partitions often."""

    name = "KafkaSource"

    def source(self, origin: str) -> KafkaSource[Any]:
        bootstrap, _, topic = origin.partition("/")
        return KafkaSource(bootstrap, topic, format=JsonLinesFormat(dict), discovery_interval=timedelta(milliseconds=100))

    def add(self, origin: str) -> Sequence[Any]:
        bootstrap, _, topic = origin.partition("/")
        client = AdminClient({"bootstrap.servers": bootstrap})
        count = len(client.list_topics(topic, timeout=30).topics[topic].partitions)
        client.create_partitions([NewPartitions(topic, count + 1)])[topic].result()
        numbers = range(100 * count, 100 * count + 10)
        produced(bootstrap, topic, [(count, b'{"number": %d}' % number) for number in numbers])
        return [{"number": number} for number in numbers]


class TwoPhaseHarness(ExactlyOnceHarness):
    """`KafkaSink(delivery="exactly_once_2pc")`."""

    name = "KafkaSink(exactly_once_2pc)"
    delivery = "exactly_once_2pc"

    def committable_version(self, committable: bytes) -> int:
        return int(msgspec.msgpack.decode(committable)["version"])


@cache
def broker_to_crash() -> KafkaService | None:
    """A broker in a container that only this process uses, and only where it may be killed; None where no container can be had."""
    stack = ExitStack()
    # A version asks for a container, whatever address is given.
    version = os.environ.get("MILLSTREAM_TEST_KAFKA_VERSION") or VERSION
    try:
        service = stack.enter_context(running_kafka(version=version))
    except ServiceUnavailable:
        if is_required("kafka"):
            raise
        return None
    atexit.register(stack.close)
    return service


class CrashedTwoPhaseHarness(TwoPhaseHarness):
    """The same, with targets on a broker that is killed when the suite asks for it."""

    name = "KafkaSink(exactly_once_2pc)"

    def broker(self) -> KafkaService:
        return broker_to_crash() or super().broker()

    def restart_target(self, target: str) -> bool:
        service = broker_to_crash()
        if service is None:
            return False
        assert target.startswith(f"{service.bootstrap}/"), f"{target} is not on the broker at {service.bootstrap} that may be killed"
        service.kill()
        service.start()
        return True


class TestBoundedKafkaSource(SourceSuite):
    harness = BoundedSourceHarness


class TestUnboundedKafkaSource(SourceSuite):
    harness = UnboundedSourceHarness


class TestExactlyOnceKafkaSink(SinkSuite):
    harness = ExactlyOnceHarness


class TestAtLeastOnceKafkaSink(SinkSuite):
    harness = AtLeastOnceHarness


@pytest.mark.timeout(180)  # whichever test comes first starts a broker, and one of them starts it again
class TestTwoPhaseKafkaSink(SinkSuite):
    harness = CrashedTwoPhaseHarness
