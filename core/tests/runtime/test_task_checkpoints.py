"""A task with several checkpoints, savepoints and last ones: what is snapshot when, and what is processed meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from millstream import KeyedProcessFunction, StreamExecutionEnvironment, ValueStateDescriptor
from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointDeclined,
    SavepointCompleted,
)
from millstream.graph.execution_graph import ExecutionState, SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.records import Barrier, RecordBatch
from millstream.runtime.channel import LocalChannel
from millstream.runtime.deployment import Ports, TaskDeployment
from millstream.runtime.edge import EdgeWriter
from millstream.runtime.messages import JOB_MANAGER, StartProcessing
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.savepoints import SavepointStores
from millstream.runtime.task import Task
from millstream_memory.snapshot import MemoryTableSnapshot


class Later(KeyedProcessFunction[int, int, str]):
    """Counts, and emits the count a second of processing time later."""

    def open(self, context: Any) -> None:
        self.count = context.get_state(ValueStateDescriptor("count", int, 0))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.count.update(self.count.value() + 1)
        ctx.timer_service().register_processing_time_timer(ctx.timer_service().current_processing_time() + 1_000)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect(f"count {self.count.value()}")


class All:
    """A partitioner of one channel."""

    def split(self, batch: RecordBatch[Any]) -> list[tuple[int, RecordBatch[Any]]]:
        return [(0, batch)]


class OneSavepoint:
    """Finds one store, whatever it is asked for."""

    durable = True

    def __init__(self) -> None:
        self.store = EphemeralStore()

    def open_savepoint(self, location: str, storage: Any) -> EphemeralStore:
        return self.store


class Driven:
    """A keyed task with one input."""

    def __init__(self) -> None:
        env = StreamExecutionEnvironment()
        env.from_collection([0]).key_by(lambda n: 0).process(Later(), uid="later").disable_chaining().map(lambda n: n).print()
        graph = env.job_graph("driven")
        env.graph.nodes.clear()
        (vertex,) = [vertex for vertex in graph.vertices if vertex.name.startswith("process")]
        self.clock, self.transport, self.store, self.savepoint = ManualClock(), LocalTransport(), EphemeralStore(), OneSavepoint()
        self.reports: list[Any] = []
        self.transport.bind(JOB_MANAGER, self.reports.append)
        ports = Ports(self.clock, SeededRandom(1), self.transport, LocalStorage(), InlineExecutor())
        deployment = TaskDeployment(
            job_name="driven", run_id="r", vertex=vertex, subtask=0, attempt=0, options=env.settings().execution,
            state_backend=env.plugins.find("state_backend", "memory").load()(),
            parallelisms={v.vertex_id: 1 for v in graph.vertices},
            task_managers={SubtaskId(v.vertex_id, 0): "inline" for v in graph.vertices},
            incremental_from=0,
        )  # fmt: skip
        self.input, self.output = LocalChannel(), LocalChannel()
        stores = SavepointStores(lambda location: self.savepoint, ports.storage)  # type: ignore[arg-type,return-value]
        edges = [EdgeWriter(All(), [self.output])]  # type: ignore[arg-type]
        self.task = Task(deployment, ports, MetricRegistry(self.clock), self.store, EphemeralStore(), stores, [self.input], edges, lambda: None)
        self.task.start()
        assert self.task.state is ExecutionState.RUNNING
        self.tell(StartProcessing())
        self.settle()

    def tell(self, message: Any) -> None:
        self.transport.send(JOB_MANAGER, self.task.address, message)

    def settle(self) -> None:
        for _ in range(1_000):
            if not self.task.run_once():
                return

    def out(self) -> list[Any]:
        elements = []
        while (element := self.output.poll()) is not None:
            elements.append(element.values if isinstance(element, RecordBatch) else element)
        return elements

    def acknowledged(self) -> dict[int, Any]:
        return {report.checkpoint_id: report.state for report in self.reports if isinstance(report, CheckpointAcknowledged)}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While there is something in the list, no snapshot comes to its end."""
    held: list[bool] = [True]
    advance = MemoryTableSnapshot.advance
    monkeypatch.setattr(MemoryTableSnapshot, "advance", lambda snapshot, until_s: not held and advance(snapshot, until_s))
    return held


def test_a_barrier_that_finds_a_snapshot_pending_waits_until_that_is_encoded_and_nothing_is_processed_meanwhile(slow: list[bool]) -> None:
    driven = Driven()
    for element in (RecordBatch([1]), Barrier(1, 0), RecordBatch([2]), Barrier(2, 0), RecordBatch([3])):
        driven.input.put(element)
    driven.settle()
    assert driven.out() == [Barrier(1, 0)]
    driven.clock.advance(5)
    driven.settle()
    assert driven.out() == []  # the timer is due, and fires behind the barrier
    slow.clear()
    driven.settle()
    assert driven.out() == [Barrier(2, 0), ["count 2"]]
    assert list(driven.acknowledged()) == [1, 2]


def test_when_the_pending_snapshot_is_given_up_the_waiting_barrier_goes_on_at_once(slow: list[bool]) -> None:
    driven = Driven()
    for element in (RecordBatch([1]), Barrier(1, 0), RecordBatch([2]), Barrier(2, 0)):
        driven.input.put(element)
    driven.settle()
    driven.tell(CheckpointAborted(1))
    driven.settle()
    assert driven.out() == [Barrier(1, 0), Barrier(2, 0)]
    slow.clear()
    driven.settle()
    assert list(driven.acknowledged()) == [2]


def test_a_waiting_barrier_of_a_checkpoint_that_is_given_up_is_dropped(slow: list[bool]) -> None:
    driven = Driven()
    for element in (RecordBatch([1]), Barrier(1, 0), RecordBatch([2]), Barrier(2, 0), RecordBatch([3]), Barrier(3, 0)):
        driven.input.put(element)
    driven.settle()
    driven.tell(CheckpointAborted(2))
    slow.clear()
    driven.settle()
    assert driven.out() == [Barrier(1, 0), Barrier(3, 0)]
    assert list(driven.acknowledged()) == [1, 3]


def test_a_savepoint_is_whole_and_in_its_own_store_and_no_checkpoint_refers_to_it() -> None:
    driven = Driven()
    driven.input.put(RecordBatch([1]))
    driven.input.put(Barrier(1, 0, savepoint="/sp-1"))
    driven.settle()
    state = driven.acknowledged()[1]
    assert state.file is not None
    assert not state.file.shared
    assert driven.savepoint.store._files
    assert not driven.store._files
    driven.tell(SavepointCompleted(1))
    driven.input.put(Barrier(2, 0))
    driven.settle()
    assert driven.acknowledged()[2].earlier == []


def test_a_last_checkpoint_with_a_savepoint_is_in_both_stores() -> None:
    driven = Driven()
    driven.input.put(RecordBatch([1]))
    driven.input.put(Barrier(1, 0, last=True, savepoint="/sp-1"))
    driven.settle()
    assert driven.savepoint.store._files == driven.store._files
    assert driven.store._files


def test_behind_the_barrier_of_a_last_checkpoint_no_timer_fires_until_that_is_given_up() -> None:
    driven = Driven()
    driven.input.put(RecordBatch([1]))
    driven.input.put(Barrier(1, 0, last=True))
    driven.settle()
    driven.clock.advance(5)
    driven.settle()
    assert driven.out() == [Barrier(1, 0, last=True)]
    driven.tell(CheckpointAborted(1))
    driven.settle()
    assert driven.out() == [["count 1"]]


def test_what_was_written_of_a_savepoint_that_is_given_up_goes() -> None:
    driven = Driven()
    driven.input.put(RecordBatch([1]))
    driven.input.put(Barrier(1, 0, savepoint="/sp-1"))
    driven.settle()
    driven.tell(CheckpointAborted(1))
    driven.settle()
    assert driven.savepoint.store._files == {}


def test_a_savepoint_whose_place_cannot_be_opened_is_declined_and_the_task_goes_on() -> None:
    driven = Driven()

    def refuse(location: str, storage: Any) -> EphemeralStore:
        raise PermissionError("not yours")

    driven.savepoint.open_savepoint = refuse  # type: ignore[method-assign]
    driven.input.put(RecordBatch([1]))
    driven.input.put(Barrier(1, 0, savepoint="/sp-1"))
    driven.settle()
    (declined,) = [report for report in driven.reports if isinstance(report, CheckpointDeclined)]
    assert "not yours" in declined.reason
    assert driven.task.state is ExecutionState.RUNNING
