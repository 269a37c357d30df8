"""Brokers compact the topic of markers while a job moves them; what is left is enough to go on."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from millstream.contracts.write_ahead import Marker
from millstream_kafka import KafkaSink
from millstream_testkit.services import KafkaService, running_kafka
from millstream_testkit.suites.attempts import rows

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_python, pytest.mark.xdist_group("compacting_broker")]

DELIVERIES = ["exactly_once", "exactly_once_2pc"]
JOB = Path(__file__).with_name("copy_job.py")
COMPACTED_S = 60.0
AT_ONCE = {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}


@pytest.fixture(scope="module")
def compacting(broker_type: Any, millstream_kafka: KafkaService) -> Iterator[Any]:
    """A broker whose cleaner hardly ever sleeps."""
    with running_kafka(settings={"log.cleaner.backoff.ms": "50"}) as service:
        yield broker_type(service.bootstrap, AdminClient({"bootstrap.servers": service.bootstrap, "log_level": 0}))


@pytest.fixture
def markers(compacting: Any) -> str:
    """A topic of one partition that is compacted all the time."""
    name = f"markers-{uuid.uuid4().hex}"
    compacting.admin.create_topics([NewTopic(name, 1, 1, config=AT_ONCE)])[name].result()
    return name


def offsets_in(bootstrap: str, topic: str) -> list[int]:
    """Offsets of the messages that are left in partition 0."""
    settings = {"group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    # Aborted ones are no messages that compaction has taken away.
    consumer = Consumer({"bootstrap.servers": bootstrap, "isolation.level": "read_uncommitted", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[int] = []
    over_s = time.monotonic() + 30
    try:
        while time.monotonic() < over_s:
            for message in consumer.consume(100, 0.2):
                error = message.error()
                if error is None:
                    found.append(message.offset() or 0)
                elif error.code() == KafkaError._PARTITION_EOF:
                    return found
    finally:
        consumer.close()
    raise AssertionError(f"topic {topic} could not be read to its end")


def has_lost(bootstrap: str, topic: str, at_least: int) -> bool:
    """Whether compaction has taken away so many messages: each marker that was overtaken was once at an offset of its own.

    A transaction writes a marker and a control record, so that half of the offsets in front of the last marker were messages.
    """
    left = offsets_in(bootstrap, topic)
    return bool(left) and left[-1] // 2 + 1 - len(left) >= at_least


def until(true: Callable[[], bool], step: Callable[[], object], what: str) -> None:
    over_s = time.monotonic() + COMPACTED_S
    while not true():
        assert time.monotonic() < over_s, what
        step()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_what_compaction_leaves_of_the_markers_tells_an_heir_how_far_its_lane_has_come(
    compacting: Any, markers: str, attempts_of: Any, delivery: Any
) -> None:
    topic = compacting.topic()
    sink = KafkaSink[Any](compacting.bootstrap, topic, "json", delivery=delivery, transactional_id_prefix=topic, marker_topic=markers)
    attempts = attempts_of(sink)
    old, sealed = attempts.open(0), []

    def epoch() -> None:
        for _ in range(5):
            old.write(rows(10 * len(sealed), 10))
            sealed.append(old.seal(len(sealed) + 1))
            old.commit(sealed[-1])

    until(lambda: has_lost(compacting.bootstrap, markers, 5), epoch, "the topic of markers was never compacted")
    last = len(sealed)
    old.write(rows(10 * last, 10))
    pending = old.seal(last + 1)  # and the process is gone
    heir = attempts.open(1)
    told = heir.client.read_marker(0) if delivery == "exactly_once" else heir.client.newest_committed(0)
    assert told == (Marker(last, 0) if delivery == "exactly_once" else last)
    for one in (sealed[-2], sealed[-1], pending):
        heir.commit(one)
    heir.abort_lingering()
    assert attempts.seen() == rows(0, 10 * (last + 1))


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The job in a process of its own, which is killed at the end."""
    with log.open("ab") as said:
        process = subprocess.Popen([sys.executable, str(JOB), *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield process
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.faults
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_job_that_is_killed_after_its_markers_were_compacted_writes_each_record_once(
    compacting: Any, markers: str, tmp_path: Path, delivery: Any
) -> None:
    source, topic = compacting.topic(), compacting.topic()
    arguments = (compacting.bootstrap, source, topic, markers, delivery, str(tmp_path / "checkpoints"))
    sent: list[bytes] = []

    def more() -> None:
        values = [b"%d" % number for number in range(len(sent), len(sent) + 5)]
        compacting.write(source, values)
        sent.extend(values)

    def wait_for(count: int) -> None:
        until(lambda: len(compacting.read(topic)) >= count, lambda: None, f"{count} records never came: {(tmp_path / 'log').read_text()}")

    for killed in range(2):
        with running(tmp_path / "log", *arguments):
            until(lambda killed=killed: has_lost(compacting.bootstrap, markers, 5 * (killed + 1)), more, (tmp_path / "log").read_text())  # type: ignore[misc]
            more()
    with running(tmp_path / "log", *arguments):
        more()
        wait_for(len(sent))
    assert sorted(int(message.value()) for message in compacting.read(topic)) == list(range(len(sent)))
