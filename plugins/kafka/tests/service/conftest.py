"""A topic per test on a real broker, written and read with nothing of the connector."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from millstream_testkit.services import KafkaService, messages_of


@dataclass
class Broker:
    """A broker, as a stranger uses it."""

    bootstrap: str
    admin: AdminClient

    def topic(self, partitions: int = 1, **config: str) -> str:
        name = f"t-{uuid.uuid4().hex}"
        self.admin.create_topics([NewTopic(name, partitions, 1, config={"retention.ms": "-1", **config})])[name].result()
        return name

    def write(self, topic: str, values: Sequence[Any], *, partition: int = 0, transaction: str = "", **more: Any) -> None:
        """Values, or triples of key, value and headers. `transaction`: `commit` or `abort` them together."""
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        producer = Producer({**settings, "transactional.id": uuid.uuid4().hex} if transaction else settings)
        if transaction:
            producer.init_transactions(30)
            producer.begin_transaction()
        for value in values:
            key, value, headers = value if isinstance(value, tuple) else (None, value, None)
            producer.produce(topic, value, key, partition=partition, headers=headers, **more)
        if transaction == "commit":
            producer.commit_transaction(30)
        elif transaction:
            assert producer.flush(30) == 0
            producer.abort_transaction(30)
        assert producer.flush(30) == 0

    @contextmanager
    def open_transaction(self, topic: str, values: Sequence[bytes]) -> Iterator[None]:
        """Values that are written and not committed, for as long as this lasts."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        assert producer.flush(30) == 0
        try:
            yield
        finally:
            producer.abort_transaction(30)

    def read(self, topic: str, isolation: str = "read_committed") -> list[Any]:
        return messages_of(self.bootstrap, topic, isolation)


@pytest.fixture
def broker(millstream_kafka: KafkaService) -> Broker:
    return Broker(millstream_kafka.bootstrap, AdminClient({"bootstrap.servers": millstream_kafka.bootstrap}))
