"""Releases of Kafka: an older one that is new enough, and a broker that says it lacks what a sink needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from millstream import StreamExecutionEnvironment
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_kafka.asker import SINK
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.second_client import _imported
from millstream_testkit.services import KafkaService, running_kafka

DELIVERIES = ["at_least_once", "exactly_once", "exactly_once_2pc"]
LIST_TRANSACTIONS = 66


@pytest.fixture(scope="module")
def older(millstream_kafka: KafkaService) -> Iterator[KafkaService]:
    with running_kafka(version="3.9.1") as service:
        yield service


def job(bootstrap: str, source: str, topic: str, delivery: Any, folder: Path) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "50ms")
    apart = {"transactional_id_prefix": topic, "marker_topic": f"markers-{topic}"}
    read = KafkaSource[bytes](bootstrap, source, stop=Offsets.latest())
    env.from_source(read, uid="in").sink_to(KafkaSink(bootstrap, topic, delivery=delivery, **apart), uid="out")
    return env


@pytest.mark.timeout(120)
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_kafka_3_9_is_new_enough(broker: Any, older: KafkaService, tmp_path: Path, delivery: Any) -> None:
    own = type(broker)(older.bootstrap, AdminClient({"bootstrap.servers": older.bootstrap}))
    source, topic = own.topic(), own.topic()
    own.write(source, [b"a", b"b"])
    job(older.bootstrap, source, topic, delivery, tmp_path).execute("older")
    assert [message.value() for message in own.read(topic)] == [b"a", b"b"]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_broker_that_cannot_list_transactions_is_refused_by_the_sink_that_has_to(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: Any
) -> None:
    library, _ = _imported(SINK)
    told = library.api_versions
    monkeypatch.setattr(library, "api_versions", lambda self: {n: v for n, v in told(self).items() if n != LIST_TRANSACTIONS})
    source, topic = broker.topic(), broker.topic()
    broker.write(source, [b"a"])
    env = job(broker.bootstrap, source, topic, delivery, tmp_path)
    if delivery == "exactly_once_2pc":
        with pytest.raises(JobFailedError, match=r"ListTransactions \(number 66\), which came with Kafka 3\.0") as raised:
            env.execute("refused")
        assert isinstance(raised.value.__cause__, KafkaRefused)
    else:
        env.execute("fine")
    assert len(broker.read(topic)) == (delivery != "exactly_once_2pc")
