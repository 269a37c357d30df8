"""Another parallelism while epochs are pending: each lane's records are there once, and its marker goes with the run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from millstream.contracts.sink import EndedRun
from millstream.ports import LocalStorage
from millstream_kafka import KafkaSink
from millstream_testkit import SinkHarness
from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.oracle import Row
from millstream_testkit.services import messages_of, shared_kafka
from millstream_testkit.suites.attempts import OTHER_RUN, RUN, rows

pytestmark = pytest.mark.one_python

DELIVERIES = ["exactly_once", "exactly_once_2pc"]


def markers_in(bootstrap: str, topic: str) -> dict[str, Any]:
    """What the topic of markers holds, by key, as a new reader would find it."""
    last = {message.key().decode(): message.value() for message in messages_of(bootstrap, topic)}
    return {key: json.loads(value) for key, value in last.items() if value is not None}


class WriteAhead(SinkHarness):
    """A job in processes of its own that are killed. A target is `host:port/topic`."""

    example_target = "127.0.0.1:9092/example"
    delivery: Any = "exactly_once"

    def create_target(self, folder: Path) -> str:
        topic, bootstrap = f"lanes-{uuid.uuid4().hex}", shared_kafka().bootstrap
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "-1"})])[topic].result()
        return f"{bootstrap}/{topic}"

    def sink(self, target: str) -> KafkaSink[Row]:
        bootstrap, _, topic = target.partition("/")
        return KafkaSink(bootstrap, topic, format="json", delivery=self.delivery, transactional_id_prefix=topic, marker_topic=f"markers-{topic}")

    def read(self, target: str) -> Sequence[Row]:
        bootstrap, _, topic = target.partition("/")
        return [tuple(json.loads(message.value())) for message in messages_of(bootstrap, topic)]

    def leftovers(self, target: str) -> Sequence[str]:
        bootstrap, _, topic = target.partition("/")
        return [f"a marker of {key}" for key in markers_in(bootstrap, f"markers-{topic}")]


class TwoPhase(WriteAhead):
    """The same in two phases."""

    delivery = "exactly_once_2pc"


@pytest.mark.faults
@pytest.mark.timeout(120)
@pytest.mark.parametrize("harness", [WriteAhead, TwoPhase])
def test_a_job_that_is_killed_and_goes_on_with_two_subtasks_and_then_with_four(harness: type[SinkHarness], tmp_path: Path) -> None:
    crashes = (Crash("sink.commit.before", 3), Crash("recovery.after_first_commit"))
    result = CrashRunner(harness(), tmp_path).run(CrashCase(crashes, parallelism=(3, 2, 4)))
    assert result.outcome is Outcome.EXACT, str(result)
    assert result.left_behind == [], str(result)


def sink_to(broker: Any, topic: str, delivery: Any) -> KafkaSink[Any]:
    return KafkaSink(broker.bootstrap, topic, "json", delivery=delivery, transactional_id_prefix=topic, marker_topic=f"markers-{topic}")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_epochs_that_are_half_committed_go_from_three_lanes_to_two_and_to_four(broker: Any, attempts_of: Any, delivery: Any) -> None:
    topic = broker.topic()
    attempts = attempts_of(sink_to(broker, topic, delivery))
    three = [attempts.open(0, lane=lane, parallelism=3) for lane in range(3)]
    pending = []
    for checkpoint_id in (1, 2):
        for lane, writer in enumerate(three):
            writer.write(rows(100 * checkpoint_id + 10 * lane, 10))
            pending.append(writer.seal(checkpoint_id))
    three[0].commit(pending[0])  # and the process dies

    owned = [(0, 2), (1,)]
    two = [attempts.open(1, lane=lane, parallelism=2, owned=owned[lane]) for lane in range(2)]
    two[0].commit(pending[0])
    two[0].commit(pending[2])  # epoch 1 of lane 2, which is nobody's own any more
    for sealed in pending[3:]:
        if sealed.lane in owned[0]:
            two[0].commit(sealed)
    two[0].abort_lingering(pending)
    two[0].write(rows(300, 10))
    third = [*pending, two[0].seal(3)]  # and again: of lane 1 nothing is committed

    four = [attempts.open(2, lane=lane, parallelism=4) for lane in range(4)]
    for sealed in third:
        four[sealed.lane].commit(sealed)
    for lane, writer in enumerate(four):
        writer.abort_lingering()
        writer.write(rows(400 + 10 * lane, 10))
        writer.commit(writer.seal(4))
    expected = [*rows(100, 30), *rows(200, 30), *rows(300, 10), *rows(400, 40)]
    assert attempts.seen() == expected
    found = {key: marker["checkpoint"] for key, marker in markers_in(broker.bootstrap, f"markers-{topic}").items()}
    assert found == {f"{RUN}/{lane}/out": 4 for lane in range(4)}


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_markers_of_lanes_that_are_gone_end_with_the_run_and_others_stay(broker: Any, attempts_of: Any, delivery: Any) -> None:
    topic = broker.topic()
    sink = sink_to(broker, topic, delivery)
    attempts = attempts_of(sink)
    for run_id, uid in ((RUN, "out"), (RUN, "out-2"), (OTHER_RUN, "out")):
        for lane in range(3):
            writer = attempts.open(0, run_id=run_id, sink_uid=uid, lane=lane, parallelism=3)
            writer.write(rows(lane, 1))
            writer.commit(writer.seal(1))
    alone = attempts.open(1, owned=(0, 1, 2))
    alone.abort_lingering()
    alone.write(rows(3, 1))
    alone.commit(alone.seal(2))
    found = {key: marker["checkpoint"] for key, marker in markers_in(broker.bootstrap, f"markers-{topic}").items()}
    assert (found[f"{RUN}/0/out"], found[f"{RUN}/2/out"]) == (2, 1)
    sink.resolve().forget_run(EndedRun(job_name="job", run_id=RUN, sink_uid="out", storage=LocalStorage()))
    others = {f"{run}/{lane}/{uid}" for run, uid in ((RUN, "out-2"), (OTHER_RUN, "out")) for lane in range(3)}
    assert markers_in(broker.bootstrap, f"markers-{topic}").keys() == others
