"""The Kafka sink against a real broker: what is in the topic, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream.errors import JobFailedError, PreparedTooShort, RecordRefused
from millstream_kafka import KafkaSink
from millstream_kafka.errors import KafkaRefused, TopicUnknown

DELIVERIES = ["at_least_once", "exactly_once", "exactly_once_2pc"]


def write(broker: Any, topic: Any, values: Sequence[Any], folder: Path, **options: Any) -> Any:
    """Runs a job that writes the values."""
    on_error = options.pop("on_error", "fail")
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "50ms")
    in_time = WatermarkStrategy[Any].for_monotonous_timestamps().with_timestamp_assigner(lambda value: 1_000 + len(str(value)))
    stream = env.from_collection(values, watermark_strategy=in_time, uid="in")
    stream.sink_to(KafkaSink(broker.bootstrap, topic, **options), uid="out", name="out", on_error=on_error)
    return env.execute("write")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_messages_have_key_value_headers_and_the_event_time(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    options = {"format": "text", "key": lambda value: value[0], "headers": lambda value: {"length": b"%d" % len(value)}, "delivery": delivery}
    write(broker, topic, ["a", "bb", "ccc"], tmp_path, **options)
    found = [(m.key(), m.value(), m.headers(), m.timestamp()[1]) for m in broker.read(topic)]
    assert found == [
        (b"a", b"a", [("length", b"1")], 1_001),
        (b"b", b"bb", [("length", b"2")], 1_002),
        (b"c", b"ccc", [("length", b"3")], 1_003),
    ]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_function_chooses_topic_and_partition(broker: Any, tmp_path: Path, delivery: Any) -> None:
    even, odd = broker.topic(2), broker.topic(2)
    options = {"format": "json", "partition": lambda value: value // 10, "delivery": delivery}
    write(broker, lambda value: odd if value % 2 else even, [1, 2, 13, 14], tmp_path, **options)
    assert [(m.partition(), m.value()) for m in sorted(broker.read(odd), key=lambda m: m.partition())] == [(0, b"1"), (1, b"13")]
    assert [(m.partition(), m.value()) for m in sorted(broker.read(even), key=lambda m: m.partition())] == [(0, b"2"), (1, b"14")]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_key_is_in_the_partition_that_javas_producer_chooses(broker: Any, tmp_path: Path, delivery: Any) -> None:
    """Hashes from the tests of Kafka itself; an empty key is one like any other."""
    hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    topic = broker.topic(5)
    write(broker, topic, [*hashes, *[""] * 30], tmp_path, format="text", key=str, delivery=delivery)
    found = {(message.key().decode(), message.partition()) for message in broker.read(topic)}
    assert {(key, (hash_ & 0x7FFFFFFF) % 5) for key, hash_ in hashes.items()} < found
    assert len(found) == len(hashes) + 1


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_record_that_is_too_large_is_named_and_skipped_if_asked(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    values = [b"small", b"x" * 2_000_000, b"last"]
    with pytest.raises(JobFailedError, match="1,000,000 are allowed") as raised:
        write(broker, topic, values, tmp_path / "fail", delivery=delivery)
    assert isinstance(raised.value.__cause__, RecordRefused)
    topic = broker.topic()
    result = write(broker, topic, values, tmp_path / "skip", delivery=delivery, on_error="skip")
    assert [m.value() for m in broker.read(topic)] == [b"small", b"last"]
    assert result.counts["out.numRecordsRejected"] == 1


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_topic_that_is_not_there_is_not_made(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    with pytest.raises(JobFailedError, match=f"Did you mean '{topic}'") as raised:
        write(broker, topic[:-1], [b"a"], tmp_path, delivery=delivery)
    assert isinstance(raised.value.__cause__, TopicUnknown)
    assert topic[:-1] not in broker.admin.list_topics(timeout=30).topics


def test_a_topic_that_takes_smaller_messages_is_refused_before_data_flows(broker: Any, tmp_path: Path) -> None:
    topic = broker.topic(**{"max.message.bytes": "1000"})
    with pytest.raises(JobFailedError, match=r"max\.message\.bytes is 1,000.*'message\.max\.bytes': 1000") as raised:
        write(broker, topic, [b"a"], tmp_path)
    assert isinstance(raised.value.__cause__, KafkaRefused)


@pytest.mark.parametrize("delivery", DELIVERIES[1:])
def test_a_transaction_timeout_above_what_brokers_allow_is_refused_with_the_fix(broker: Any, tmp_path: Path, delivery: Any) -> None:
    with pytest.raises(JobFailedError, match=r"transaction_timeout.*transaction\.max\.timeout\.ms") as raised:
        write(broker, broker.topic(), [b"a"], tmp_path, delivery=delivery, transaction_timeout=timedelta(hours=1))
    assert isinstance(raised.value.__cause__, KafkaRefused)


def test_a_transaction_timeout_that_a_checkpoint_may_outlast_is_refused_before_the_job_starts(broker: Any, tmp_path: Path) -> None:
    topic = broker.topic()
    with pytest.raises(PreparedTooShort, match=r"keeps what is prepared for 60 s.*transaction_timeout, where it has that.*below 59\.95s"):
        write(broker, topic, [b"a"], tmp_path, delivery="exactly_once_2pc", transaction_timeout=timedelta(minutes=1))
    write(broker, topic, [b"a"], tmp_path, delivery="exactly_once", transaction_timeout=timedelta(minutes=1))


@pytest.mark.parametrize("delivery", DELIVERIES[1:])
@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_topic_of_markers_that_forgets_them_is_refused(broker: Any, tmp_path: Path, policy: str, delivery: Any) -> None:
    markers = broker.topic(**{"cleanup.policy": policy})
    with pytest.raises(JobFailedError, match=rf"cleanup\.policy is '{policy}'") as raised:
        write(broker, broker.topic(), [b"a"], tmp_path, delivery=delivery, marker_topic=markers)
    assert isinstance(raised.value.__cause__, KafkaRefused)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_compacted_topic_is_refused_without_keys_and_taken_with_them(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic(**{"cleanup.policy": "compact"})
    with pytest.raises(JobFailedError, match=r"messages without a key.*Give the sink key=\.\.\.") as raised:
        write(broker, topic, [b"a"], tmp_path / "without", delivery=delivery)
    assert isinstance(raised.value.__cause__, KafkaRefused)
    write(broker, topic, [b"a"], tmp_path / "with", delivery=delivery, key=lambda value: value)
    assert [(message.key(), message.value()) for message in broker.read(topic)] == [(b"a", b"a")]


@pytest.mark.parametrize("delivery", DELIVERIES[1:])
def test_fewer_replicas_than_have_to_be_in_sync_are_a_warning(broker: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, delivery: Any) -> None:
    topic = broker.topic(**{"min.insync.replicas": "2"})
    with caplog.at_level(logging.WARNING, "millstream.kafka"):
        write(broker, topic, [b"a"], tmp_path, delivery=delivery)
    assert f"topic '{topic}' has min.insync.replicas 2, and 1 replicas only" in caplog.text


@pytest.mark.parametrize("delivery", DELIVERIES[1:])
def test_nothing_of_a_run_is_left_in_the_topic_of_markers(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    markers = f"markers-{topic}"
    write(broker, topic, [b"a", b"b"], tmp_path, delivery=delivery, marker_topic=markers)
    last: dict[bytes, Any] = {message.key(): message.value() for message in broker.read(markers)}
    assert list(last.values()) == [None]
