"""Watermark alignment pauses partitions of a real broker, and loses nothing by it."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream_kafka import KafkaSource

FAR = 5_000
"""Records in the partition that runs ahead, a second of event time each."""


class Reading:
    """A job that reads two aligned partitions: values are seconds of event time."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.values: list[bytes] = []
        self._came = threading.Condition()
        strategy = (
            WatermarkStrategy.for_monotonous_timestamps()
            .with_timestamp_assigner(lambda value: int(value[1:]) * 1000)
            .with_watermark_alignment("both", timedelta(seconds=100), timedelta(milliseconds=20))
        )
        env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "50ms")
        env.from_source(KafkaSource(bootstrap, topic), strategy, uid="in").map(self._take).filter(lambda value: False).print()
        self.job = env.execute_async(f"aligned {uuid.uuid4().hex}")

    def _take(self, value: bytes) -> bytes:
        with self._came:
            self.values.append(value)
            self._came.notify_all()
        return value

    def wait_for(self, *values: bytes) -> None:
        with self._came:
            assert self._came.wait_for(lambda: set(values) <= set(self.values), 30), f"{len(self.values)} came, not {values}"

    def ahead(self) -> int:
        return sum(value.startswith(b"f") for value in self.values)


def test_a_partition_far_ahead_is_paused_until_the_other_has_caught_up(broker: Any) -> None:
    topic = broker.topic(partitions=2)
    broker.write(topic, [b"s1"], partition=1)
    reading = Reading(broker.bootstrap, topic)
    try:
        reading.wait_for(b"s1")
        broker.write(topic, [b"f%d" % second for second in range(FAR)], partition=0)
        for second in range(2, 12):  # all this time the other one could be read
            broker.write(topic, [b"s%d" % second], partition=1)
            reading.wait_for(b"s%d" % second)
        assert reading.ahead() < FAR / 2
        broker.write(topic, [b"s%d" % (2 * FAR)], partition=1)
        reading.wait_for(*(b"f%d" % second for second in range(FAR)))
    finally:
        reading.job.cancel()
        reading.job.result(30)
    assert sorted(reading.values) == sorted({*reading.values})
    assert [value for value in reading.values if value.startswith(b"f")] == [b"f%d" % second for second in range(FAR)]
