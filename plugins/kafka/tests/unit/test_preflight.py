"""What is made of the settings of topics and of the rights to them."""

from __future__ import annotations

import logging

import pytest

from millstream_kafka.errors import KafkaRefused
from millstream_kafka.preflight import warn_of_durability
from millstream_kafka.rights import require_rights
from millstream_kafka.topics import Topic


@pytest.mark.parametrize(
    ("replicas", "in_sync", "said"),
    [
        (3, "1", "topic 'a' has 3 replicas and min.insync.replicas 1"),
        (1, "2", "topic 'a' has min.insync.replicas 2, and 1 replicas only"),
        (3, "2", ""),
        (1, "1", ""),
        (3, None, ""),
    ],
    ids=["one is enough", "more than there are", "two of three", "a single broker", "not to be seen"],
)
def test_a_topic_that_may_lose_what_it_has_acknowledged_is_a_warning(
    caplog: pytest.LogCaptureFixture, replicas: int, in_sync: str | None, said: str
) -> None:
    with caplog.at_level(logging.WARNING, "millstream.kafka"):
        warn_of_durability(Topic("a", "id", 1, replicas), {"min.insync.replicas": in_sync} if in_sync else {})
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


def test_a_missing_right_is_named_with_the_command_that_gives_it() -> None:
    topic = Topic("a", "id", 1, rights=frozenset({"DESCRIBE"}))
    with pytest.raises(KafkaRefused) as raised:
        require_rights("one:9092,two:9092", topic, ["READ", "WRITE"])
    assert str(raised.value) == (
        "Kafka at one:9092,two:9092 refuses to read and write topic 'a': the user has no right to READ and WRITE, only to DESCRIBE. Give it the "
        "right: kafka-acls.sh --bootstrap-server one:9092 --add --allow-principal User:NAME --operation Read --operation Write --topic a."
    )


def test_rights_that_brokers_do_not_tell_are_taken_for_given() -> None:
    require_rights("one:9092", Topic("a", "id", 1, rights=None), ["READ"])
