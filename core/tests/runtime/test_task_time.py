"""How a subtask says that it is busy, idle or backpressured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.contracts.metrics import Gauge
from millstream.graph.execution_graph import SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.records import RecordBatch
from millstream.runtime.channel import CREDITS, LocalChannel
from millstream.runtime.deployment import Ports, TaskDeployment
from millstream.runtime.edge import EdgeWriter
from millstream.runtime.launch import Launcher
from millstream.runtime.messages import JOB_MANAGER, StartProcessing
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.partition import OneChannel
from millstream.runtime.savepoints import SavepointStores
from millstream.runtime.task import Task
from millstream.runtime.task_time import WINDOW_S, TaskTime


class Driven:
    """A map whose function takes as long as a record says, and its three gauges."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        env = StreamExecutionEnvironment()
        env.from_collection([0]).disable_chaining().map(self.work, name="slow").disable_chaining().print()
        graph = env.job_graph("driven")
        (vertex,) = [vertex for vertex in graph.vertices if vertex.name == "slow"]
        transport = LocalTransport()
        transport.bind(JOB_MANAGER, lambda _: None)
        deployment = TaskDeployment(
            job_name="driven",
            run_id="r",
            vertex=vertex,
            subtask=0,
            attempt=0,
            options=env.settings().execution,
            state_backend=env.plugins.find("state_backend", "memory").load()(),
            parallelisms={vertex.vertex_id: vertex.parallelism for vertex in graph.vertices},
            task_managers={SubtaskId(vertex.vertex_id, 0): "inline" for vertex in graph.vertices},
        )
        self.input, self.output = LocalChannel(), LocalChannel()
        self.registry = MetricRegistry(self.clock)
        ports = Ports(self.clock, SeededRandom(1), transport, LocalStorage(), InlineExecutor())
        edges = [EdgeWriter(OneChannel(0), [self.output])]
        savepoints = SavepointStores(lambda location: EphemeralStore(), ports.storage)  # type: ignore[arg-type,return-value]
        stores = (EphemeralStore(), EphemeralStore(), savepoints)
        self.task = Task(deployment, ports, self.registry, *stores, [self.input], edges, lambda: None)
        self.task.start()
        transport.send(JOB_MANAGER, self.task.address, StartProcessing())
        self.turns(0)

    def work(self, seconds: float) -> float:
        self.clock.advance(seconds)
        return seconds

    def turns(self, pass_s: float) -> None:
        """Turns until there is nothing to do, and a wait."""
        while self.task.run_once():
            pass
        self.clock.advance(pass_s)

    def shares(self) -> tuple[Any, ...]:
        """Busy, idle, backpressured."""
        gauges = {name[-1]: metric.value() for name, metric in self.registry if isinstance(metric, Gauge) and name[:3] == ("driven", "slow", "0")}
        return gauges["busyTimeMsPerSecond"], gauges["idleTimeMsPerSecond"], gauges["backPressuredTimeMsPerSecond"]


def test_a_subtask_is_busy_while_it_works_and_idle_while_nothing_comes() -> None:
    driven = Driven()
    driven.input.put(RecordBatch([0.75]))
    driven.turns(1.25)
    assert driven.shares() == (375, 625, 0)


def test_a_subtask_without_room_for_its_output_is_backpressured() -> None:
    driven = Driven()
    for _ in range(CREDITS):
        driven.output.put(RecordBatch(["filler"]))
    driven.input.put(RecordBatch([0.5]))
    driven.turns(1.0)
    while driven.output.poll() is not None:
        pass
    driven.turns(0.5)
    assert driven.shares() == (250, 250, 500)


def test_time_that_is_not_over_counts_for_what_the_subtask_does_now() -> None:
    driven = Driven()
    driven.turns(1.0)
    assert driven.shares() == (0, 1_000, 0)
    driven.turns(1.0)
    assert driven.shares() == (0, 1_000, 0)


def test_the_figures_are_of_the_last_seconds() -> None:
    driven = Driven()
    for _ in range(CREDITS - 6):
        driven.input.put(RecordBatch([1.0]))
        driven.turns(0.0)
        busy = driven.shares()
    assert busy == (1_000, 0, 0)
    for _ in range(round(WINDOW_S)):
        driven.turns(1.0)
        busy = driven.shares()
    assert busy == (0, 1_000, 0)


def test_those_who_look_at_one_time_see_figures_that_add_up() -> None:
    driven = Driven()
    for step in range(50):
        driven.output.poll()
        driven.input.put(RecordBatch([0.0137 * step]))
        driven.turns(0.0291)
        assert sum(driven.shares()) == 1_000


def test_a_subtask_that_always_has_work_does_not_look_at_the_clock() -> None:
    looks = []

    def monotonic_s() -> float:
        looks.append(1)
        return 0.0

    time = TaskTime(monotonic_s)
    time.worked(time.turn_begins())
    looks.clear()
    for _ in range(100):
        time.worked(time.turn_begins())
    assert not looks


@pytest.mark.parametrize("parallelism", [1, 2])
def test_every_subtask_of_a_job_has_the_figures(parallelism: int) -> None:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    env.configure("execution.watermark_interval", timedelta(seconds=1))
    env.generate(lambda n: n, 100).key_by(lambda n: n % 7).reduce(lambda a, b: a).print()
    job = env.job_graph("all")
    seen = set()
    local = Launcher(env.settings("all"), env.plugins).launch(job)
    local.start()
    local.run()
    for name, metric in local.registry:
        if name[-1] in ("busyTimeMsPerSecond", "idleTimeMsPerSecond", "backPressuredTimeMsPerSecond"):
            assert isinstance(metric, Gauge)
            assert 0 <= metric.value() <= 1_000  # type: ignore[operator]
            seen.add(name)
    local.close()
    assert len(seen) == 3 * sum(vertex.parallelism for vertex in job.vertices)
