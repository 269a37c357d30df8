"""Brokers that are too old, by answers that were made up."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Uuid

from millstream_kafka.client import Client
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.settings import connection
from millstream_kafka.topics import described
from millstream_kafka.versions import check_transactions

KAFKA_2_8 = {10: (0, 3), 26: (0, 3)}
KAFKA_3_0 = {10: (0, 4), 26: (0, 3), 65: (0, 0), 66: (0, 0)}


def client() -> Client:
    return Client(connection("KafkaSource", "127.0.0.1:1", {}, {}), "KafkaSource")


class Admin:
    """Answers with a topic that has this id."""

    def __init__(self, topic_id: Uuid) -> None:
        self._topic_id = topic_id

    def describe_topics(self, topics: Any, **options: Any) -> dict[str, Future[Any]]:
        future: Future[Any] = Future()
        future.set_result(SimpleNamespace(name="a", topic_id=self._topic_id, partitions=[], authorized_operations=None))
        return {"a": future}


def test_a_broker_without_ids_of_topics_is_too_old() -> None:
    admin: Any = Admin(Uuid(0, 0))
    with pytest.raises(KafkaRefused, match=r"topic 'a' from another of its name.*Update the brokers: Kafka 2\.8 or newer"):
        described(client(), admin, ["a"])


def test_a_broker_that_tells_ids_of_topics_but_no_rights_is_fine() -> None:
    admin: Any = Admin(Uuid(1, 2))
    topic = described(client(), admin, ["a"])["a"]
    assert topic is not None
    assert topic.rights is None


def test_a_broker_that_cannot_look_up_transactions_is_too_old_for_two_phases() -> None:
    with pytest.raises(
        KafkaRefused, match=r"DescribeTransactions \(number 65\), ListTransactions \(number 66\), which came with Kafka 3\.0"
    ) as raised:
        check_transactions("127.0.0.1:1", "finish transactions", KAFKA_2_8)
    assert 'Kafka 2.8 or newer is needed, and 3.0 or newer by delivery="exactly_once_2pc"' in str(raised.value)
    check_transactions("127.0.0.1:1", "finish transactions", KAFKA_3_0)


@pytest.mark.parametrize("code", [KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION])
def test_what_the_client_finds_unsupported_is_told_with_the_release_that_has_it(code: int) -> None:
    made = client().explained("begin transactions", KafkaError(code))
    assert isinstance(made, KafkaRefused)
    assert "Update the brokers" in str(made)
