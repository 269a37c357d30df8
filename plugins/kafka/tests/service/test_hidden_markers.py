"""Markers of the two-phase sink behind a transaction that somebody else holds open in the same partition: readers see none of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from millstream.errors import LostEpoch
from millstream_kafka import KafkaSink
from millstream_testkit.suites.attempts import RUN, rows

pytestmark = pytest.mark.one_python


@contextmanager
def hidden(broker: Any, topic: str) -> Iterator[KafkaSink[Any]]:
    """A sink of which no reader sees a marker."""
    markers = f"markers-{topic}"
    broker.admin.create_topics([NewTopic(markers, 1, 1, config={"cleanup.policy": "compact"})])[markers].result()
    other = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"other-{topic}"})
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(markers, b'{"version":1,"checkpoint":1,"chunk":0}', b"of another job", partition=0)  # with a key: a compacted topic takes no other
    assert other.flush(30) == 0
    assert len(broker.read(markers, "read_uncommitted")) == 1
    yield KafkaSink(
        broker.bootstrap,
        topic,
        "json",
        delivery="exactly_once_2pc",
        transactional_id_prefix=topic,
        marker_topic=markers,
        client={"compression.type": "zstd"},
    )
    assert broker.read(markers) == [], "the markers were not hidden"
    other.abort_transaction(30)


def test_what_a_lane_has_committed_is_known(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    with hidden(broker, topic) as sink:
        attempts = attempts_of(sink)
        one = attempts.open(0)
        for checkpoint_id in (1, 2):
            one.write(rows(10 * checkpoint_id, 10))
            one.commit(one.seal(checkpoint_id))
        one.write(rows(30, 10))
        one.seal(3)  # and the process dies: prepared, of a checkpoint that nobody has
        assert attempts.open(1).client.newest_committed(0) == 2


def test_what_was_aborted_does_not_count(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    with hidden(broker, topic) as sink:
        attempts = attempts_of(sink)
        one = attempts.open(0)
        one.write(rows(0, 10))
        one.seal(1)
        two = attempts.open(1)
        two.abort_lingering()
        assert two.client.newest_committed(0) is None


def test_an_epoch_that_is_committed_already_is_not_taken_for_lost(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    with hidden(broker, topic) as sink:
        attempts = attempts_of(sink)
        one = attempts.open(0)
        one.write(rows(0, 10))
        sealed = one.seal(1)
        attempts.open(1).commit(sealed)  # and the process dies in front of the next checkpoint
        attempts.open(2).commit(sealed)
        assert attempts.seen() == rows(0, 10)


def test_an_epoch_that_was_aborted_is_lost(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    with hidden(broker, topic) as sink:
        attempts = attempts_of(sink)
        one = attempts.open(0)
        one.write(rows(0, 10))
        sealed = one.seal(1)
        attempts.open(1).abort_lingering()
        with pytest.raises(LostEpoch):
            attempts.open(2).commit(sealed)


def test_the_markers_of_a_run_that_is_over_are_removed_without_waiting(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    with hidden(broker, topic) as sink:
        attempts = attempts_of(sink)
        one = attempts.open(0)
        one.write(rows(0, 10))
        one.commit(one.seal(1))
        attempts.release(one)
        begun = time.monotonic()
        attempts.forget_run(RUN)
        assert time.monotonic() - begun < 30, "the end of a job waited for a transaction of another"
        last = {message.key(): message.value() for message in broker.read(f"markers-{topic}", "read_uncommitted")}
        assert [value for key, value in last.items() if key.startswith(RUN.encode())] == [None]
