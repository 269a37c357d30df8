"""Messages that cannot be delivered: the job ends, and says which topic, which partition and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions

from millstream import StreamExecutionEnvironment
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink
from millstream_kafka.errors import KafkaRefused, TopicUnknown
from millstream_testkit.services import running_kafka

pytestmark = pytest.mark.one_python

DELIVERIES = ["at_least_once", "exactly_once", "exactly_once_2pc"]
LACKING = {"format": "text", "partition": lambda value: 7 if value == "astray" else 0}


def job(bootstrap: str, topic: Any, folder: Path | None, values: tuple[str, ...], **options: Any) -> StreamExecutionEnvironment:
    """One whose input comes to its end, if it has checkpoints; else another record comes in a thousand seconds."""
    env = StreamExecutionEnvironment()
    stream = env.from_collection(values, uid="first")
    if folder is not None:
        env.configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "100ms").configure("job.resume", "auto")
    else:
        stream = stream.union(env.generate(lambda number: "rest", rate_per_s=0.001))
    stream.sink_to(KafkaSink(bootstrap, topic, **options), uid="out", name="out")
    return env


def failure(bootstrap: str, topic: Any, folder: Path | None, values: tuple[str, ...] = ("fine", "astray"), **options: Any) -> BaseException | None:
    """Why a job failed."""
    with pytest.raises(JobFailedError) as raised:
        job(bootstrap, topic, folder, values, **options).execute("write")
    return raised.value.__cause__


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_partition_that_the_topic_lacks_ends_the_job(broker: Any, tmp_path: Path, delivery: Any) -> None:
    """No restart gives the topic another partition."""
    topic = broker.topic(2)
    error = failure(broker.bootstrap, topic, tmp_path, delivery=delivery, **LACKING)
    assert isinstance(error, KafkaRefused)
    assert f"take a message in partition 7 of topic '{topic}': the topic has 2, from 0. Add partitions" in str(error)


def test_a_job_without_checkpoints_is_told_too(broker: Any) -> None:
    """Nothing flushed, nothing was said: the records were lost when the job was stopped."""
    topic = broker.topic(2)
    error = failure(broker.bootstrap, topic, None, **LACKING)
    assert isinstance(error, KafkaRefused)
    assert f"partition 7 of topic '{topic}'" in str(error)


def test_what_a_checkpoint_holds_is_delivered_when_the_partition_is_there(broker: Any, tmp_path: Path) -> None:
    topic = broker.topic(2)
    assert isinstance(failure(broker.bootstrap, topic, tmp_path, delivery="exactly_once", **LACKING), KafkaRefused)
    broker.admin.create_partitions([NewPartitions(topic, 8)])[topic].result()
    job(broker.bootstrap, topic, tmp_path, ("fine", "astray"), delivery="exactly_once", **LACKING).execute("write")
    assert sorted((m.partition(), m.value()) for m in broker.read(topic)) == [(0, b"fine"), (7, b"astray")]


def test_a_topic_that_a_function_names_and_that_is_not_there_is_named(tmp_path: Path) -> None:
    with running_kafka(settings={"auto.create.topics.enable": "false"}) as kafka:
        for delivery in DELIVERIES:
            # With exactly_once a commit waits meanwhile, which must not be over first: there it is what it is by default.
            client = {} if delivery == "exactly_once" else {"topic.metadata.propagation.max.ms": 1_000}
            error = failure(kafka.bootstrap, lambda value: "nowhere", tmp_path / delivery, delivery=delivery, format="text", client=client)
            assert isinstance(error, TopicUnknown), error
            assert "has no topic 'nowhere'" in str(error)


@pytest.mark.parametrize("delivery", DELIVERIES[1:])
def test_a_topic_that_a_function_names_and_that_takes_less_is_named(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic(**{"max.message.bytes": "1000"})
    error = failure(broker.bootstrap, lambda value: topic, tmp_path, values=("x" * 5000,), delivery=delivery, format="text")
    assert isinstance(error, KafkaRefused)
    assert f"in partition 0 of topic '{topic}': it is larger than the topic's max.message.bytes" in str(error)
