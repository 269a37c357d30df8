"""A topic per test on a real broker, written and read with nothing of the connector; and sinks opened as attempts of a job would."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from millstream import JobStatus, StreamExecutionEnvironment
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink, KafkaSource
from millstream_testkit import SinkHarness
from millstream_testkit.oracle import Row
from millstream_testkit.services import KafkaService, messages_of, running_kafka
from millstream_testkit.suites.attempts import Attempts, opening


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
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "enable.idempotence": True}
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


@pytest.fixture(scope="session")
def broker_type() -> type[Broker]:
    """For tests that have a broker of their own."""
    return Broker


@pytest.fixture(scope="session")
def guarded(millstream_kafka: KafkaService) -> Iterator[KafkaService]:
    """A broker whose second listener lets its user in, and nothing more."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with running_kafka(login=True, settings=settings) as service:
        yield service


class Opened(SinkHarness):
    """A sink that a test has made, for `Attempts`. The target is its topic."""

    def __init__(self, sink: KafkaSink[Any]) -> None:
        self._made = sink

    def sink(self, target: str) -> KafkaSink[Any]:
        return self._made

    def read(self, target: str) -> Sequence[Row]:
        servers = str(self._made.bootstrap_servers)
        return [tuple(json.loads(message.value())) for message in messages_of(servers, target)]

    def create_target(self, folder: Path) -> str:
        return str(self._made.topic)


Opening = Callable[[KafkaSink[Any]], Attempts]


@pytest.fixture
def attempts_of() -> Iterator[Opening]:
    """Opens a sink of rows as JSON again and again, with the engine's part played by the test; closes what is left open at the end."""
    with ExitStack() as stack:
        yield lambda sink: stack.enter_context(opening(Opened(sink), str(sink.topic)))


class Running:
    """A job that reads for ever."""

    def __init__(self, source: KafkaSource[Any], **settings: Any) -> None:
        self.values: list[Any] = []
        env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "50ms")
        for name, value in settings.items():
            env.configure(name.replace("__", "."), value)
        env.from_source(source, uid="in").map(self._take).filter(lambda value: False).print()
        self.job = env.execute_async(f"endless {uuid.uuid4().hex}")
        self._came = threading.Condition()

    def _take(self, value: Any) -> Any:
        with self._came:
            self.values.append(value)
            self._came.notify_all()
        return value

    def wait_for(self, count: int) -> list[Any]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.values) >= count, 30), self.values
            return list(self.values)

    def error(self) -> BaseException | None:
        with pytest.raises(JobFailedError) as raised:
            self.job.result(30)
        return raised.value.__cause__

    def stop(self) -> int:
        """How often it was started again."""
        self.job.cancel()
        result = self.job.result(30)
        assert result.status is JobStatus.CANCELED
        return result.restarts


@pytest.fixture
def running() -> type[Running]:
    """Starts such a job."""
    return Running
