"""A stranger's view of the output topic: all the while and at the end, with read_committed, and with nothing of the connector."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, TopicPartition
from readings import Plan

SHOWN = 5
"""Mistakes of a kind that a message lists."""


@dataclass
class Reading:
    """What was found.

    Attributes:
        windows: count and sum, by sensor and start.
        newest: start of the last window, by sensor.
        problems: what must not be.
        ended: partitions whose end has been seen.
    """

    windows: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def take(self, value: bytes, place: str) -> None:
        """One message."""
        sensor, start, count, total = map(int, value.split(b","))
        if (sensor, start) in self.windows:
            self.problems.append(f"doubled: window {start} of sensor {sensor}, again at {place}")
        elif start < self.newest.get(sensor, -1):
            self.problems.append(f"out of order: window {start} of sensor {sensor} at {place}, behind {self.newest[sensor]}")
        self.windows[sensor, start] = count, total
        self.newest[sensor] = max(start, self.newest.get(sensor, -1))


def poll(consumer: Consumer, into: Reading) -> None:
    """Takes what has come."""
    for message in consumer.consume(1_000, 0.1):
        error = message.error()
        if error is None:
            into.take(message.value() or b"", f"{message.partition()}:{message.offset()}")
        elif error.code() == KafkaError._PARTITION_EOF:
            into.ended.add(message.partition() or 0)


def consumer_of(bootstrap: str, topic: str, partitions: int) -> Consumer:
    """Reads a topic from its beginning; brokers may come and go."""
    settings = {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    return consumer


class Watching:
    """Reads along while the job runs."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.reading = Reading()
        self._consumer = consumer_of(bootstrap, topic, partitions)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            poll(self._consumer, self.reading)
        self._consumer.close()

    def stop(self) -> Reading:
        """Ends it. What it has found so far."""
        self._over.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the reader hangs"
        return self.reading


def read_all(bootstrap: str, topic: str, partitions: int) -> Reading:
    """Everything that is there, from the beginning, afterwards."""
    reading = Reading()
    consumer = consumer_of(bootstrap, topic, partitions)
    try:
        for _ in range(600):
            if len(reading.ended) == partitions:
                return reading
            poll(consumer, reading)
    finally:
        consumer.close()
    raise AssertionError(f"the end of {topic} was not seen within a minute: {sorted(reading.ended)} of {partitions} partitions")


def verdict(plan: Plan, during: Reading, after: Reading) -> list[str]:
    """What is wrong; nothing if each window is there once, with all its readings."""
    expected = plan.windows()
    missing = [window for window in expected if window not in after.windows]
    strange = [window for window in after.windows if window not in expected]
    wrong = [window for window, found in after.windows.items() if window in expected and found != expected[window]]
    unlike = [window for window, found in during.windows.items() if after.windows.get(window) != found]
    problems = [*during.problems[:SHOWN], *after.problems[:SHOWN]]
    for name, windows in (
        ("lost", missing),
        ("not of this input", strange),
        ("not with the readings it should have", wrong),
        ("seen, then gone", unlike),
    ):
        if windows:
            problems.append(f"{len(windows)} windows {name}, among them {sorted(windows)[:SHOWN]}")
    return problems
