"""The Kafka source against a real broker: where it begins and ends, what it makes of messages, and what it refuses."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic

from millstream import DeadLetterRecord, JobStatus, ProcessFunction, StreamExecutionEnvironment, WatermarkStrategy, dead_letter
from millstream.api.sinks import CollectSink
from millstream.errors import InvalidArgument, JobFailedError, MalformedRecord
from millstream_kafka import KafkaRecord, KafkaSource, Offsets
from millstream_kafka.errors import OffsetOutOfRange, TopicUnknown, TopicVanished


def read(source: KafkaSource[Any], **settings: Any) -> list[Any]:
    """What a job reads of an input that has an end."""
    env = StreamExecutionEnvironment()
    for name, value in settings.items():
        env.configure(name.replace("__", "."), value)
    return list(env.from_source(source, uid="in").execute_and_collect("read"))


def bounded(broker: Any, topic: Any, **options: Any) -> KafkaSource[Any]:
    return KafkaSource(broker.bootstrap, topic, **{"stop": Offsets.latest(), **options})


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Offsets.earliest(), [b"0", b"1", b"2", b"3", b"4"]),
        (Offsets.latest(), []),
        (Offsets.at(1_003), [b"3", b"4"]),
        (Offsets.at(9_999), []),
        (Offsets.committed(otherwise="earliest"), [b"0", b"1", b"2", b"3", b"4"]),
        (Offsets.committed(otherwise="latest"), []),
    ],
    ids=str,
)
def test_it_begins_where_it_is_told_to(broker: Any, start: Offsets, expected: list[bytes]) -> None:
    topic = broker.topic()
    for number in range(5):
        broker.write(topic, [b"%d" % number], timestamp=1_000 + number)
    assert read(bounded(broker, topic, start=start, group_id="group-that-never-was")) == expected


def test_it_begins_at_given_offsets_and_where_a_group_has_committed(broker: Any) -> None:
    topic = broker.topic(2)
    for partition in (0, 1):
        broker.write(topic, [b"%d-%d" % (partition, number) for number in range(4)], partition=partition)
    given = Offsets.given({(topic, 0): 2, (topic, 1): 3})
    assert sorted(read(bounded(broker, topic, start=given))) == [b"0-2", b"0-3", b"1-3"]
    group = f"group-{topic}"
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 1)], asynchronous=False)
    consumer.close()
    assert sorted(read(bounded(broker, topic, start=Offsets.committed(), group_id=group))) == [b"0-3", b"1-1", b"1-2", b"1-3"]
    stop = Offsets.given({(topic, 0): 1, (topic, 1): 0})
    assert read(bounded(broker, topic, stop=stop)) == [b"0-0"]


@pytest.mark.parametrize("place", [("start", 2), ("stop", 2), ("start", "other"), ("stop", "other")], ids=str)
def test_given_offsets_of_partitions_that_are_not_read_are_refused(broker: Any, place: tuple[str, Any]) -> None:
    """A misspelled topic would begin or end somewhere else, without a word."""
    topic, (option, wrong) = broker.topic(2), place
    unknown = (topic, wrong) if isinstance(wrong, int) else (wrong, 0)
    offsets = Offsets.given({(topic, 0): 0, (topic, 1): 0, unknown: 0})
    with pytest.raises(JobFailedError, match=f"KafkaSource\\({option}=...\\) is an offset in partition {unknown[1]} of topic '{unknown[0]}'"):
        read(bounded(broker, topic, **{option: offsets}))


def test_it_waits_for_records_in_front_of_a_given_end(broker: Any, running: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"0"])
    job = running(KafkaSource(broker.bootstrap, topic, stop=Offsets.given({(topic, 0): 3})))
    job.wait_for(1)
    broker.write(topic, [b"1", b"2", b"3"])
    assert job.job.result(30).status is JobStatus.FINISHED
    assert job.values == [b"0", b"1", b"2"]


def test_an_offset_that_is_not_there_is_refused_before_data_flows(broker: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"0"])
    with pytest.raises(JobFailedError, match=r"offset 7 in partition 0.*an offset from 0 to 1") as raised:
        read(bounded(broker, topic, start=Offsets.given({(topic, 0): 7})))
    assert isinstance(raised.value.__cause__, InvalidArgument)


def test_aborted_and_open_transactions_are_not_read_and_the_end_is_reached_all_the_same(broker: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a", b"b"], transaction="commit")
    broker.write(topic, [b"x", b"y"], transaction="abort")
    broker.write(topic, [b"c"])
    broker.write(topic, [b"z"], transaction="abort")  # control records are the last there is
    assert read(bounded(broker, topic)) == [b"a", b"b", b"c"]
    assert read(bounded(broker, topic, isolation_level="read_uncommitted")) == [b"a", b"b", b"x", b"y", b"c", b"z"]


def test_a_deserializer_sees_key_headers_timestamp_and_place(broker: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [(b"k", b"v", [("h", b"1"), ("h", None)]), (b"gone", None, None)], timestamp=1_234)
    first, second = read(bounded(broker, topic, deserializer=lambda record: record))
    assert first == KafkaRecord(topic, 0, 0, 1_234, b"k", b"v", (("h", b"1"), ("h", None)))
    assert (second.key, second.value, second.offset) == (b"gone", None, 1)


@pytest.mark.parametrize(("tombstones", "expected"), [("skip", [b"a", b"b"]), ("none", [b"a", None, b"b"])])
def test_messages_without_a_value_are_skipped_or_none_if_asked(broker: Any, tombstones: str, expected: list[Any]) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a", (b"key", None, None), b"b"])
    assert read(bounded(broker, topic, tombstones=tombstones)) == expected


def test_a_message_without_a_value_ends_the_job_unless_told_otherwise(broker: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a", (b"key", None, None)])
    with pytest.raises(JobFailedError, match=r"partition 0, offset 1.*tombstone.*tombstones=\"skip\"") as raised:
        read(bounded(broker, topic))
    assert isinstance(raised.value.__cause__, MalformedRecord)


def test_poison_goes_to_the_dead_letters_with_its_place_and_its_headers(broker: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"1", (None, b"{", [("trace", b"7")]), b"3"])
    letters: list[DeadLetterRecord] = []
    env = StreamExecutionEnvironment()
    numbers = env.from_source(bounded(broker, topic, format="json"), uid="in", on_error=dead_letter(CollectSink(letters)))
    assert list(numbers.execute_and_collect("poison")) == [1, 3]
    (letter,) = letters
    assert letter.position.startswith(f"topic {topic!r}, partition 0, offset 1")
    assert (letter.record, letter.headers) == ("{", (("trace", b"7"),))


def test_records_carry_the_timestamps_of_their_messages(broker: Any) -> None:
    topic = broker.topic(2)
    broker.write(topic, [b"a"], timestamp=5_000)
    broker.write(topic, [b"b"], partition=1, timestamp=7_000)
    seen: list[tuple[bytes, int | None]] = []

    class Stamps(ProcessFunction[bytes, bytes]):
        def process_element(self, value: bytes, context: Any, out: Any) -> None:
            seen.append((value, context.timestamp()))

    env = StreamExecutionEnvironment()
    stream = env.from_source(bounded(broker, topic), watermark_strategy=WatermarkStrategy.for_monotonous_timestamps(), uid="in")
    stream.process(Stamps()).print()
    env.execute("stamps")
    assert sorted(seen) == [(b"a", 5_000), (b"b", 7_000)]


def test_several_topics_and_topics_by_pattern_are_read_whole(broker: Any) -> None:
    first, second = broker.topic(), broker.topic(2)
    broker.write(first, [b"%d" % number for number in range(10)])
    broker.write(second, [b"%d" % number for number in range(10, 20)], partition=1)
    expected = sorted(b"%d" % number for number in range(20))
    assert sorted(read(bounded(broker, [first, second]))) == expected
    assert sorted(read(bounded(broker, (), topic_pattern=f"{first}|{second}"), job__parallelism=2)) == expected


def test_an_unknown_topic_and_a_pattern_without_topics_end_the_job_with_a_hint(broker: Any) -> None:
    topic = broker.topic()
    with pytest.raises(JobFailedError, match=f"Did you mean '{topic}'") as raised:
        read(bounded(broker, topic[:-1]))
    assert isinstance(raised.value.__cause__, TopicUnknown)
    with pytest.raises(JobFailedError, match="no topic that matches 'none of this name'"):
        read(bounded(broker, (), topic_pattern="none of this name"))


SOON = timedelta(milliseconds=100)


def test_partitions_and_topics_that_come_later_are_read_from_their_first_record(broker: Any, running: Any) -> None:
    topic = broker.topic()
    later = f"{topic}-later"
    broker.write(topic, [b"first"])
    start = Offsets.given({(topic, 0): 0}, otherwise="latest")
    job = running(KafkaSource(broker.bootstrap, topic_pattern=f"{topic}.*", start=start, discovery_interval=SOON))
    job.wait_for(1)
    broker.admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    broker.write(topic, [b"a"], partition=1)
    broker.admin.create_topics([NewTopic(later, 1, 1)])[later].result()
    broker.write(later, [b"b"])
    assert sorted(job.wait_for(3)) == [b"a", b"b", b"first"]
    job.stop()


def test_a_topic_that_vanishes_ends_the_job_instead_of_hanging_it(broker: Any, running: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a"])
    job = running(KafkaSource(broker.bootstrap, topic, discovery_interval=SOON))
    job.wait_for(1)
    broker.admin.delete_topics([topic])[topic].result()
    assert isinstance(job.error(), TopicVanished)


def test_a_topic_that_was_made_anew_under_its_name_ends_the_job_at_the_next_look(broker: Any, running: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a"])
    job = running(KafkaSource(broker.bootstrap, topic, discovery_interval=SOON))
    job.wait_for(1)
    broker.admin.delete_topics([topic])[topic].result()
    broker.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    broker.write(topic, [b"another", b"another"])  # at the position that the job has come to
    assert isinstance(job.error(), TopicVanished | OffsetOutOfRange)


def test_records_that_retention_has_deleted_end_the_job(broker: Any, running: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"%d" % number for number in range(10)])
    (future,) = broker.admin.delete_records([TopicPartition(topic, 0, 6)]).values()
    future.result()
    source = KafkaSource(broker.bootstrap, topic, start=Offsets.given({(topic, 0): 6}))
    job = running(source)
    assert job.wait_for(4) == [b"6", b"7", b"8", b"9"]
    job.stop()
    with pytest.raises(JobFailedError) as raised:
        read(bounded(broker, topic, start=Offsets.given({(topic, 0): 3})))
    assert isinstance(raised.value.__cause__, InvalidArgument | OffsetOutOfRange)


def test_offsets_are_committed_to_the_group_behind_checkpoints(broker: Any, running: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [b"a", b"b", b"c"])
    group = f"group-{topic}"
    job = running(KafkaSource(broker.bootstrap, topic, group_id=group))
    job.wait_for(3)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    committed, waited = -1, threading.Event()
    for _ in range(300):
        committed = consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset
        if committed == 3:
            break
        waited.wait(0.05)
    consumer.close()
    job.stop()
    assert committed == 3
