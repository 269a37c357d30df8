"""Who shares a prefix of transactional ids, who is fenced by whom, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.errors import Fenced
from millstream_kafka import KafkaSink
from millstream_kafka.second_client import Transactions
from millstream_kafka.settings import Connection
from millstream_testkit.suites.attempts import rows

DELIVERIES = ["exactly_once", "exactly_once_2pc"]
ONE, OTHER = "1" * 32, "2" * 32
"""Runs."""


def sink_to(broker: Any, topic: str, delivery: Any) -> KafkaSink[Any]:
    return KafkaSink(broker.bootstrap, topic, "json", delivery=delivery, transactional_id_prefix=topic, marker_topic=f"markers-{topic}")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_two_jobs_with_one_prefix_do_not_fence_each_other(broker: Any, attempts_of: Any, delivery: Any) -> None:
    attempts = attempts_of(sink_to(broker, broker.topic(), delivery))
    one, other = attempts.open(run_id=ONE), attempts.open(run_id=OTHER)
    for number, job in enumerate((one, other)):
        job.abort_lingering()
        job.write(rows(10 * number, 10))
    waiting = [one.seal(1), other.seal(1)]
    again = attempts.open(1, run_id=OTHER)
    again.commit(waiting[1])
    again.abort_lingering()
    one.commit(waiting[0])
    assert attempts.seen() == rows(0, 20)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_sink_whose_uid_begins_like_another_lane_is_left_alone(broker: Any, attempts_of: Any, delivery: Any) -> None:
    attempts = attempts_of(sink_to(broker, broker.topic(), delivery))
    similar = attempts.open(sink_uid="out-1")
    similar.write(rows(0, 10))
    sealed = similar.seal(1)
    heir = attempts.open(1, sink_uid="out", lane=1, parallelism=2)
    heir.abort_lingering()
    similar_again = attempts.open(1, sink_uid="out-1")
    similar_again.commit(sealed)
    assert attempts.seen() == rows(0, 10)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_two_sinks_of_one_job_write_through_one_prefix(broker: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(tmp_path)).configure("checkpoint.interval", "50ms")
    numbers = env.from_collection(list(range(20)), uid="in")
    for remainder in (0, 1):
        some = numbers.filter(lambda number, remainder=remainder: number % 2 == remainder)  # type: ignore[misc]
        some.sink_to(sink_to(broker, topic, delivery), uid=f"out-{remainder}")
    env.execute("two sinks")
    assert sorted(int(message.value()) for message in broker.read(topic)) == list(range(20))


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("written", [0, 5], ids=["with nothing open", "in the middle of an epoch"])
def test_of_two_processes_of_one_job_the_older_is_told_that_it_is_fenced(broker: Any, attempts_of: Any, delivery: Any, written: int) -> None:
    attempts = attempts_of(sink_to(broker, broker.topic(), delivery))
    old = attempts.open(0)
    if written:
        old.write(rows(0, written))
    new = attempts.open(1)
    new.abort_lingering()

    def go_on() -> None:
        old.write(rows(written, 10 - written))
        old.commit(old.seal(1))

    with pytest.raises(Fenced, match=r"Attempt 0 of sink 'out' no longer owns lane 0.*If no other run of the job is meant to be alive, stop it"):
        go_on()
    new.write(rows(0, 10))
    new.commit(new.seal(1))
    assert attempts.seen() == rows(0, 10)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_of_two_processes_that_went_on_from_one_savepoint_the_one_that_was_restarted_more_often_is_fenced(
    broker: Any, attempts_of: Any, delivery: Any
) -> None:
    attempts = attempts_of(sink_to(broker, broker.topic(), delivery))
    old, new = attempts.open(5), attempts.open(3)  # numbers are counted where a job keeps its checkpoints
    new.abort_lingering()

    def go_on() -> None:
        old.write(rows(0, 10))
        old.commit(old.seal(1))

    with pytest.raises(Fenced):
        go_on()
    new.write(rows(0, 10))
    new.commit(new.seal(1))
    assert attempts.seen() == rows(0, 10)


def test_a_process_that_was_replaced_leaves_no_transaction_open(broker: Any, attempts_of: Any) -> None:
    topic = broker.topic()
    attempts = attempts_of(sink_to(broker, topic, "exactly_once_2pc"))
    old = attempts.open(0)
    attempts.open(1).abort_lingering()
    old.write(rows(0, 5))
    with pytest.raises(Fenced):
        old.seal(1)
    transactions = Transactions(Connection(broker.bootstrap))
    assert transactions.listed(topic, ["Ongoing"]) == []
    transactions.close()
