"""Parts of the processes driver by themselves."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from typing import Any

import pytest

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.config.sections import ExecutionConfig
from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter
from millstream.errors import JobCodeUnusable, MissingMainGuard
from millstream.graph.execution_graph import ExecutionState, SubtaskId
from millstream.ports import ManualClock, SystemClock
from millstream.runtime import user_code
from millstream.runtime.messages import JOB_MANAGER, TaskStateChanged
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.processes import start as start_module
from millstream.runtime.processes.asked_store import ASKED, AskedStore
from millstream.runtime.processes.backend import ProcessClusterBackend
from millstream.runtime.processes.frames import Kind
from millstream.runtime.processes.metrics import MetricsMirror, MetricsSender
from millstream.runtime.processes.output import ForwardedOutput
from millstream.runtime.processes.set_up import SetUp
from millstream.runtime.processes.task_store import TaskStore
from millstream.runtime.processes.transports import RoutingTransport
from millstream.runtime.processes.wakeup import Wakeup

# --- metrics


class Reported:
    """A worker's registry whose reports reach a mirror."""

    def __init__(self, name: str, mirror: MetricsMirror) -> None:
        self.name, self.mirror = name, mirror
        self.registry = MetricRegistry(ManualClock())
        self.group = self.registry.group("job", "map", "0")
        self._sender = MetricsSender(self.registry)

    def report(self) -> bool:
        report = self._sender.changes()
        if report is not None:
            self.mirror.receive(self.name, report)
        self.mirror.apply()
        return report is not None


def test_counts_of_all_processes_and_attempts_add_up_and_nothing_is_told_twice() -> None:
    registry = MetricRegistry(ManualClock())
    mirror = MetricsMirror(registry)
    one, next_attempt = Reported("worker-1-0", mirror), Reported("worker-2-0", mirror)
    one.group.counter("in").inc(5)
    one.group.meter("out").mark(3)
    assert one.report()
    assert not one.report()
    one.group.counter("in").inc(-2)
    assert one.report()
    next_attempt.group.counter("in").inc(10)
    next_attempt.report()
    assert registry.counts("job") == {"map.in": 13, "map.out": 3}


def test_gauges_and_histograms_show_what_the_newest_process_has() -> None:
    registry = MetricRegistry(ManualClock())
    mirror = MetricsMirror(registry)
    one, other = Reported("worker-1-0", mirror), Reported("worker-2-0", mirror)
    value: Any = 1
    one.group.gauge("watermark", lambda: value)
    for number in range(5):
        one.group.histogram("size").update(number)
    one.report()
    value = 2
    one.group.histogram("size").update(100)
    one.report()
    shown = {name[-1]: metric for name, metric in registry}
    assert isinstance(shown["watermark"], Gauge)
    assert isinstance(shown["size"], Histogram)
    assert shown["watermark"].value() == 2
    assert shown["size"].latest() == [0, 1, 2, 3, 4, 100]
    other.group.gauge("watermark", lambda: 3)
    other.report()
    assert shown["watermark"].value() == 3


@pytest.mark.parametrize(
    ("value", "shown"), [(True, True), (1.5, 1.5), (None, None), ("a", "a"), (2**70, str(2**70)), ([1], "[1]"), (1 / 3, 1 / 3)], ids=repr
)
def test_what_a_gauge_reads_is_told_as_it_is_or_as_text(value: Any, shown: Any) -> None:
    registry = MetricRegistry(ManualClock())
    worker = Reported("w", MetricsMirror(registry))
    worker.group.gauge("g", lambda: value)
    worker.report()
    ((_, gauge),) = registry
    assert isinstance(gauge, Gauge)
    assert gauge.value() == shown


def test_a_gauge_that_raises_says_so() -> None:
    registry = MetricRegistry(ManualClock())
    worker = Reported("w", MetricsMirror(registry))
    worker.group.gauge("g", lambda: 1 / 0)
    worker.report()
    ((_, gauge),) = registry
    assert isinstance(gauge, Gauge)
    assert gauge.value() == "ZeroDivisionError: division by zero"


def test_metrics_keep_their_kinds() -> None:
    registry = MetricRegistry(ManualClock())
    worker = Reported("w", MetricsMirror(registry))
    worker.group.counter("c")
    worker.group.meter("m")
    worker.group.histogram("h")
    worker.group.gauge("g", lambda: 0)
    worker.report()
    assert {name[-1]: type(metric) for name, metric in registry} == {"c": Counter, "m": Meter, "h": Histogram, "g": Gauge}


# --- messages


def test_a_message_goes_to_its_receiver_wherever_that_is() -> None:
    transport, here, there = RoutingTransport(), [], []
    transport.bind("a", here.append)
    transport.route("b", there.append)
    transport.send("x", "a", 1)
    transport.send("x", "b", 2)
    transport.send("x", "nobody", 3)
    assert (here, [user_code.loads(payload) for payload in there]) == ([1], [("b", 2)])
    transport.set_routes({})
    transport.send("x", "b", 4)
    assert len(there) == 1
    transport.deliver(user_code.dumps(("a", 5)))
    assert here == [1, 5]


def test_checkpoints_in_memory_are_reached_by_asking_and_errors_come_back() -> None:
    there = EphemeralStore()
    asked = AskedStore(lambda method, *arguments: getattr(there, method)(*arguments) if method in ASKED else pytest.fail(method))
    asked.write_file(1, "a", iter([b"x", b"y"]))
    asked.write_shared(1, "s", [b"z"])
    assert (asked.read_file(1, "a"), asked.read_shared("s"), asked.published(), asked.location()) == (b"xy", b"z", [], "memory of this run")
    asked.publish(1, b"manifest")
    assert (asked.published(), asked.highest_id(), asked.read_manifest(1), asked.shared()) == ([1], 1, b"manifest", ["s"])
    assert asked.create_document("d", b"1")
    assert not asked.create_document("d", b"2")
    asked.write_document("d", b"3")
    assert (asked.read_document("d"), asked.documents()) == (b"3", ["d"])
    asked.delete_document("d")
    asked.delete_shared("s")
    asked.withdraw(1)
    asked.delete(1)
    with pytest.raises(FileNotFoundError):
        asked.read_file(1, "a")


class Counting(EphemeralStore):
    """Notes which of several stores is asked to give up what."""

    def __init__(self, made: list[Counting]) -> None:
        super().__init__()
        self.withdrawn: list[int] = []
        made.append(self)

    def withdraw(self, checkpoint_id: int) -> None:
        self.withdrawn.append(checkpoint_id)


def test_a_process_gives_up_what_it_wrote_for_an_aborted_checkpoint_and_never_for_a_completed_one() -> None:
    made: list[Counting] = []
    store = TaskStore(lambda: Counting(made))
    for checkpoint in (1, 2, 3):
        store.write_shared(checkpoint, f"s{checkpoint}", [b"x"])
    store.completed(2)
    for checkpoint in (1, 2, 3, 3):
        store.withdraw(checkpoint)
    assert [one.withdrawn for one in made] == [[], [], [], [3]]
    assert store._writers == {}


# --- processes


def backend(processes: int = 2, **options: Any) -> tuple[ProcessClusterBackend, RoutingTransport, list[tuple[str, str]]]:
    transport, lost = RoutingTransport(), []
    clock = SystemClock()
    made = ProcessClusterBackend(
        processes, SetUp("job", ExecutionConfig(**options)), clock, transport, EphemeralStore(), MetricsMirror(MetricRegistry(clock))
    )
    made.on_failure(lambda name, reason: lost.append((name, reason)))
    return made, transport, lost


def test_slots_are_divided_among_the_processes_neighbours_together_and_each_grant_has_new_ones() -> None:
    cluster, _, lost = backend(2)
    first = cluster.acquire(4)
    assert [slot.task_manager for slot in first] == ["worker-1-0", "worker-1-0", "worker-1-1", "worker-1-1"]
    assert len({slot.slot_id for slot in first}) == 4
    workers = [worker for group in cluster._groups for worker in group.workers.values()]
    cluster.release(first)
    assert [worker.process.returncode for worker in workers] == [0, 0]
    second = cluster.acquire(1)
    assert [slot.task_manager for slot in second] == ["worker-2-0"]
    cluster.kill(second[0], "task/0/0/0")
    cluster.kill(second[0], "task/0/0/0")
    cluster.release(second)
    assert lost == []
    assert not any(thread.name == "millstream-hub" for thread in threading.enumerate())


def test_a_process_that_cannot_be_started_leaves_none_of_the_others_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def once(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(start(*args, **kwargs))
        return started[0]

    monkeypatch.setattr(start_module.subprocess, "Popen", once)
    cluster, _, _ = backend(3)
    with pytest.raises(BlockingIOError):
        cluster.acquire(3)
    assert started[0].returncode is not None


def test_a_deployment_that_cannot_be_read_is_a_failure_of_that_task() -> None:
    cluster, transport, _ = backend(1)
    arrived, said = threading.Event(), []
    transport.bind(JOB_MANAGER, lambda message: (said.append(message), arrived.set()))
    slots = cluster.acquire(1)
    code = user_code.dumps(ThereIsNoSuchClass()).replace(b"ThereIsNoSuchClass", b"ThereIsNotSuchClas")
    cluster._groups[0].send("worker-1-0", Kind.DEPLOY, user_code.dumps((SubtaskId(3, 1), 7, "job", "map", code)))
    assert arrived.wait(30)
    cluster.release(slots)
    (message,) = said
    assert isinstance(message, TaskStateChanged)
    assert (message.subtask, message.attempt, message.state) == (SubtaskId(3, 1), 7, ExecutionState.FAILED)
    assert isinstance(message.error, JobCodeUnusable)
    assert "loaded task 'map'" in str(message.error)


class ThereIsNoSuchClass:
    """Its name is changed on the way."""


def test_an_importing_process_starts_no_job() -> None:
    from millstream import StreamExecutionEnvironment

    env = StreamExecutionEnvironment()
    env.from_collection([1]).print()
    user_code._state["importing"] = "/jobs/orders.py"
    try:
        with pytest.raises(MissingMainGuard, match="/jobs/orders.py executes a job when it is imported"):
            env.execute("orders")
    finally:
        del user_code._state["importing"]


# --- waiting


def test_a_wait_ends_when_somebody_wakes_before_or_during_it() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    wakeup.wait([], 60)
    thread = threading.Thread(target=wakeup.wait, args=([], 60))
    thread.start()
    while thread.is_alive():
        wakeup.wake()
        thread.join(0.01)
    wakeup.close()
    wakeup.wake()


def test_code_keeps_its_file_and_line_on_the_way() -> None:
    def local(value: int) -> float:
        return 1 / value

    there = user_code.loads(user_code.dumps(local))
    assert there(4) == 0.25
    assert there.__code__.co_filename == __file__
    assert there.__code__.co_firstlineno == local.__code__.co_firstlineno


def test_lines_of_several_processes_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    one, other = ForwardedOutput("stdout"), ForwardedOutput("stdout")
    os.write(one.writer, b"begun ")
    one.forward()
    os.write(other.writer, b"whole\nhalf")
    other.forward()
    os.write(one.writer, b"and ended\n")
    one.forward()
    for output in (one, other):
        output.started()
        output.forward()
    assert out.getvalue() == "whole\nbegun and ended\nhalf"
