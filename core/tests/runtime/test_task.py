"""One task, driven by hand: back-pressure, alignment, idleness, and the order of what leaves it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split, SplitEnumerator
from millstream.graph.execution_graph import ExecutionState, SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.records import MAX_TIMESTAMP, Barrier, EndOfInput, RecordBatch, Watermark, WatermarkStatus
from millstream.runtime.channel import CREDITS, LocalChannel
from millstream.runtime.deployment import Ports, TaskDeployment
from millstream.runtime.edge import EdgeWriter
from millstream.runtime.messages import JOB_MANAGER, SplitsAssigned, StartProcessing
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.partition import OneChannel
from millstream.runtime.savepoints import SavepointStores
from millstream.runtime.storages import find_checkpoint_storage
from millstream.runtime.task import Task

IDLE = WatermarkStatus(True)


class Driven:
    """A task of a job's vertex, with channels of the test's own."""

    def __init__(self, env: StreamExecutionEnvironment, vertex: str, inputs: int, started: bool = True) -> None:
        graph = env.job_graph("driven")
        self.clock = ManualClock()
        self.transport = LocalTransport()
        self.reports: list[Any] = []
        self.transport.bind(JOB_MANAGER, self.reports.append)
        ports = Ports(self.clock, SeededRandom(1), self.transport, LocalStorage(), InlineExecutor())
        (found,) = [v for v in graph.vertices if v.name.startswith(vertex)]
        deployment = TaskDeployment(
            job_name="driven",
            run_id="r",
            vertex=found,
            subtask=0,
            attempt=0,
            options=env.settings().execution,
            state_backend=env.plugins.find("state_backend", "memory").load()(),
            parallelisms={v.vertex_id: v.parallelism for v in graph.vertices},
            task_managers={SubtaskId(v.vertex_id, 0): "inline" for v in graph.vertices},
        )
        self.inputs = [LocalChannel() for _ in range(inputs)]
        self.output = LocalChannel()
        edges = [EdgeWriter(OneChannel(0), [self.output])]
        savepoints = SavepointStores(lambda location: find_checkpoint_storage(env.plugins, location), ports.storage)
        registry = MetricRegistry(self.clock)
        self.task = Task(deployment, ports, registry, EphemeralStore(), EphemeralStore(), savepoints, self.inputs, edges, lambda: None)
        self.task.start()
        assert self.task.state is ExecutionState.RUNNING
        if started:
            self.start_processing()

    def start_processing(self) -> None:
        """All tasks of the job run."""
        self.transport.send(JOB_MANAGER, self.task.address, StartProcessing())

    def settle(self) -> None:
        while self.task.run_once():
            pass

    def pass_time(self, seconds: float) -> None:
        """In steps of a tick."""
        for _ in range(round(seconds / 0.2)):
            self.clock.advance(0.2)
            self.settle()

    def taken(self) -> list[Any]:
        elements = []
        while (element := self.output.poll()) is not None:
            elements.append(element)
        return elements

    def fill(self) -> None:
        """Takes the room of the output away."""
        for _ in range(CREDITS):
            self.output.put(RecordBatch(["filler"]))


def with_idleness() -> WatermarkStrategy[Any]:
    return WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n).with_idleness(timedelta(seconds=1))


def stamping(inputs: int = 1) -> Driven:
    """assign_timestamps_and_watermarks with a second of idleness, in a task of its own."""
    env = StreamExecutionEnvironment()
    source = env.from_collection([0])
    stream = source.union(source) if inputs == 2 else source
    stamped = stream.disable_chaining().assign_timestamps_and_watermarks(with_idleness(), name="stamp")
    stamped.disable_chaining().map(lambda n: n).print()
    return Driven(env, "stamp", inputs)


def test_a_quiet_stream_goes_idle() -> None:
    driven = stamping()
    driven.inputs[0].put(RecordBatch([5]))
    driven.pass_time(3)
    assert driven.taken() == [RecordBatch([5], [5]), Watermark(4), IDLE]


def test_a_stream_held_back_by_its_consumers_does_not_go_idle() -> None:
    driven = stamping()
    driven.inputs[0].put(RecordBatch([5]))
    driven.settle()
    driven.taken()
    driven.fill()
    driven.inputs[0].put(RecordBatch([6]))
    driven.pass_time(10)
    assert IDLE not in driven.taken()
    driven.settle()
    assert driven.taken() == [RecordBatch([6], [6]), Watermark(5)]
    driven.pass_time(3)
    assert driven.taken() == [IDLE]


def test_a_stream_held_back_by_a_barrier_does_not_go_idle() -> None:
    driven = stamping(inputs=2)
    driven.inputs[0].put(RecordBatch([5]))
    driven.inputs[0].put(Barrier(1, 0))
    driven.inputs[0].put(RecordBatch([6]))
    driven.pass_time(10)
    assert driven.taken() == [RecordBatch([5], [5]), Watermark(4)]
    driven.inputs[1].put(Barrier(1, 0))
    driven.pass_time(3)
    assert driven.taken() == [Barrier(1, 0), RecordBatch([6], [6]), Watermark(5), IDLE]


class Unbounded(Source[int]):
    """Emits 1, 2, 3, ... as the test asks it to."""

    bounded = False
    capabilities = SourceCapabilities(replayable=True)
    waiting: list[int]

    def __init__(self) -> None:
        self.waiting = []

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        raise NotImplementedError("the test assigns the split")

    def create_reader(self, context: ReaderContext) -> SourceReader[int]:
        return UnboundedReader(self.waiting)


class UnboundedReader(SourceReader[int]):
    def __init__(self, waiting: list[int]) -> None:
        self.waiting = waiting

    def start(self) -> None:
        pass

    def add_splits(self, splits: Any) -> None:
        pass

    def no_more_splits(self) -> None:
        pass

    def fetch(self, max_records: int) -> Fetched[int] | None:
        return Fetched("s", [self.waiting.pop(0)]) if self.waiting else None

    def finished(self) -> bool:
        return False

    def snapshot(self, checkpoint_id: int) -> list[Split]:
        return []


def test_a_source_held_back_by_its_consumers_does_not_go_idle() -> None:
    env, source = StreamExecutionEnvironment(), Unbounded()
    env.from_source(source, with_idleness(), name="numbers").disable_chaining().map(lambda n: n).print()
    driven = Driven(env, "numbers", 0)
    driven.transport.send(JOB_MANAGER, driven.task.address, SplitsAssigned([Split("s", {})], 1))
    source.waiting += [1]
    driven.settle()
    assert driven.taken() == [RecordBatch([1], [1]), Watermark(0)]
    driven.fill()
    source.waiting += [2]
    driven.pass_time(10)
    assert len(driven.taken()) == CREDITS
    driven.settle()
    assert driven.taken() == [RecordBatch([2], [2]), Watermark(1)]
    driven.pass_time(3)
    assert driven.taken() == [IDLE]
    source.waiting += [3]
    driven.settle()
    assert driven.taken() == [WatermarkStatus(False), RecordBatch([3], [3]), Watermark(2)]


def passing(inputs: int = 2, started: bool = True) -> Driven:
    """A map behind a union, in a task of its own: sees the watermarks of its channels."""
    env = StreamExecutionEnvironment()
    source = env.from_collection([0]).disable_chaining()
    (source.union(source) if inputs == 2 else source.map(lambda n: n, name="union")).disable_chaining().map(lambda n: n).print()
    return Driven(env, "union", inputs, started)


def test_the_last_active_channel_flushes_its_watermark_before_the_status() -> None:
    driven = passing()
    a, b = driven.inputs
    for channel, element in [(a, Watermark(30)), (b, Watermark(10)), (a, IDLE), (b, IDLE), (a, WatermarkStatus(False)), (a, Watermark(31))]:
        channel.put(element)
        driven.settle()
    assert driven.taken() == [Watermark(10), Watermark(30), IDLE, WatermarkStatus(False), Watermark(31)]


def test_the_end_of_one_channel_is_not_the_end_of_the_input() -> None:
    driven = passing()
    a, b = driven.inputs
    a.put(Watermark(MAX_TIMESTAMP))
    a.put(EndOfInput())
    driven.settle()
    assert driven.taken() == []
    b.put(Watermark(5))
    b.put(Watermark(MAX_TIMESTAMP))
    b.put(EndOfInput())
    driven.settle()
    assert driven.taken() == [Watermark(5), Watermark(MAX_TIMESTAMP), EndOfInput()]


def test_a_channel_that_has_delivered_its_barrier_is_not_read_until_all_have() -> None:
    driven = passing()
    a, b = driven.inputs
    a.put(RecordBatch(["a1"]))
    a.put(Barrier(1, 0))
    a.put(RecordBatch(["a2"]))
    b.put(RecordBatch(["b1"]))
    driven.settle()
    assert sorted(e.values[0] for e in driven.taken()) == ["a1", "b1"]
    b.put(Barrier(1, 0))
    b.put(RecordBatch(["b2"]))
    driven.settle()
    barrier, *rest = driven.taken()
    assert barrier == Barrier(1, 0)
    assert sorted(e.values[0] for e in rest) == ["a2", "b2"]


def test_in_at_least_once_mode_records_pass_the_barrier() -> None:
    driven = passing()
    a, b = driven.inputs
    a.put(Barrier(1, 0, aligned=False))
    a.put(RecordBatch(["a2"]))
    driven.settle()
    assert driven.taken() == [RecordBatch(["a2"])]
    b.put(Barrier(1, 0, aligned=False))
    driven.settle()
    assert driven.taken() == [Barrier(1, 0, aligned=False)]


@pytest.mark.parametrize("inputs", [1, 2])
def test_channels_take_turns(inputs: int) -> None:
    driven = passing(inputs)
    for number, channel in enumerate(driven.inputs):
        for step in range(3):
            channel.put(RecordBatch([(step, number)]))
    driven.settle()
    assert [e.values[0] for e in driven.taken()] == [(step, number) for step in range(3) for number in range(inputs)]


def test_nothing_is_processed_before_all_tasks_of_the_job_run() -> None:
    """A task whose state is refused must not find that others have gone ahead."""
    driven = passing(1, started=False)
    driven.inputs[0].put(RecordBatch(["early"]))
    driven.settle()
    assert driven.taken() == []
    assert driven.task.next_due_s() is None
    driven.start_processing()
    driven.settle()
    assert driven.taken() == [RecordBatch(["early"])]
