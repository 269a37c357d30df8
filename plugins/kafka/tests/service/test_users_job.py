"""A user's own job from Kafka to Kafka under the kit's faults, in three lines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_testkit import exactly_once_test
from millstream_testkit.services import KafkaInput, KafkaOutput, KafkaService

LINES = [f"{'abc'[number % 3]},{number * 7}" for number in range(300)]
FEW = 12
"""Cases; all of them are some hundred, of a second or two each."""


def counting(source: str, sink: str, delivery: str = "exactly_once") -> StreamExecutionEnvironment:
    """Counts numbers per key and 100 ms of event time. A message is `key,time`."""
    (bootstrap, origin), (_, target) = source.split("/"), sink.split("/")
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(timedelta(milliseconds=50))
    in_time = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda line: int(line.split(",")[1]))
    lines = env.from_source(KafkaSource(bootstrap, origin, "text", stop=Offsets.latest()), in_time, uid="lines")
    counted = lines.map(lambda line: (line.split(",")[0], 1)).key_by(lambda pair: pair[0], key_type=str)
    windows = counted.window(TumblingEventTimeWindows.of(timedelta(milliseconds=100))).sum(1, uid="counts")
    texts = windows.map(lambda pair: f"{pair[0]} {pair[1]}")
    sent: KafkaSink[str] = KafkaSink(bootstrap, target, "text", delivery=delivery, key=lambda text: text[0], transactional_id_prefix=target)  # type: ignore[arg-type]
    texts.sink_to(sent, uid="out")
    return env


def in_two_phases(source: str, sink: str) -> StreamExecutionEnvironment:
    return counting(source, sink, "exactly_once_2pc")


def at_least_once(source: str, sink: str) -> StreamExecutionEnvironment:
    return counting(source, sink, "at_least_once")


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("job", [counting, in_two_phases], ids=lambda job: job.__name__)
def test_a_job_survives_being_killed_everywhere(millstream_kafka: KafkaService, job: Any, tmp_path: Path) -> None:
    with exactly_once_test(job, source=KafkaInput(millstream_kafka, LINES), sink=KafkaOutput(millstream_kafka), folder=tmp_path) as t:
        t.crash_everywhere(at_most=FEW)
    assert len(t.survived) == FEW
    assert sum(int(value.split()[1]) for _, value in t.expected) == len(LINES)


@pytest.mark.faults
@pytest.mark.timeout(180)
def test_a_job_that_writes_at_least_once_is_found_out(millstream_kafka: KafkaService, tmp_path: Path) -> None:
    output = KafkaOutput(millstream_kafka)
    source = KafkaInput(millstream_kafka, LINES)
    with (
        exactly_once_test(at_least_once, source=source, sink=output, folder=tmp_path) as t,
        pytest.raises(AssertionError, match="doubled"),
    ):
        t.crash_at("end.before_final_checkpoint")


def test_a_reader_sees_an_open_transaction_as_left_behind(broker: Any, millstream_kafka: KafkaService, tmp_path: Path) -> None:
    output = KafkaOutput(millstream_kafka)
    target = output.create_target(tmp_path)
    topic = target.rpartition("/")[2]
    broker.write(topic, [b"a"], transaction="commit")
    assert (output.read(target), output.leftovers(target)) == ([(None, b"a")], [])
    with broker.open_transaction(topic, [b"b"]):
        assert output.read(target) == [(None, b"a")]
        assert output.leftovers(target) == [f"an open transaction, which hides 1 offsets of topic {topic}"]
    output.drop_target(target)
