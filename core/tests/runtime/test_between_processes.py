"""What may go from one process to another is the same behind cloudpickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cloudpickle
import msgspec
import pytest

import millstream.checkpoint.messages as checkpoint_messages
import millstream.runtime.messages as runtime_messages
from millstream import RestartStrategies, StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream.api.sources.generator import GeneratorSource
from millstream.contracts.source import Split
from millstream.errors import JobFailedError, TaskFailed, TaskManagerLost
from millstream.graph.execution_graph import ExecutionState, SubtaskId
from millstream.plugins import default_manager
from millstream.runtime.deployment import TaskDeployment
from millstream.runtime.embedded import EmbeddedClusterBackend
from millstream.runtime.job_status import JobStatus
from millstream.runtime.launch import Launcher, LocalJob, system_ports
from millstream.runtime.task_manager import TaskManager

SUBTASK = SubtaskId(1, 0)
SPLIT = Split("a.csv", {"offset": 7, "seen": ["x", None]})
LOST = TaskManagerLost(task_manager="w1", job="orders", reason="exit code -9")
FAILED = TaskFailed(error="OSError: gone", notes=("while reading",), line="a.py:1 in f: g()", task="map", subtask=1, job="orders")

MESSAGES: list[Any] = [
    runtime_messages.TaskStateChanged(SUBTASK, 3, ExecutionState.RUNNING),
    runtime_messages.TaskStateChanged(SUBTASK, 3, ExecutionState.FINISHED, accumulators={"seen": 5}),
    runtime_messages.FromReader("orders", SUBTASK, 3, b"more"),
    runtime_messages.StartProcessing(),
    runtime_messages.SplitsAssigned([SPLIT]),
    runtime_messages.NoMoreSplits(),
    runtime_messages.NoSplitsYet(2),
    runtime_messages.ReportedWatermark("orders", SUBTASK, 3, 1_000, 1),
    runtime_messages.WatermarkLimit(61_000, 1),
    runtime_messages.FromEnumerator(b"hello"),
    runtime_messages.CancelTask(),
    checkpoint_messages.TriggerCheckpoint(4, 1_000, True, stop=True),
    checkpoint_messages.CheckpointCompleted(4, last=True),
    checkpoint_messages.CheckpointAborted(4),
    checkpoint_messages.TriggerCheckpoint(4, 1_000, True, last=True, savepoint="/savepoints/savepoint-orders-4-ab"),
    checkpoint_messages.SavepointCompleted(4),
    checkpoint_messages.EndSources(),
    checkpoint_messages.CheckpointDeclined(SUBTASK, 3, 4, "disk full"),
]


def there(message: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_in_another_process(message: Any) -> None:
    assert there(message) == message


def test_every_kind_of_message_is_tried() -> None:
    kinds = {
        kind
        for module in (runtime_messages, checkpoint_messages)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    }
    acknowledged = {checkpoint_messages.CheckpointAcknowledged}  # seen on its way in a running job, below
    assert kinds == {type(message) for message in MESSAGES} | acknowledged


@pytest.mark.parametrize("error", [LOST, FAILED], ids=["lost", "failed"])
def test_the_error_of_a_task_keeps_its_fields_in_another_process(error: Any) -> None:
    sent = there(runtime_messages.TaskStateChanged(SUBTASK, 3, ExecutionState.FAILED, error)).error
    assert type(sent) is type(error)
    assert str(sent) == str(error)
    assert dataclasses.asdict(sent) == dataclasses.asdict(error)


class Pickling:
    """A Transport between JobManager and tasks that sends copies."""

    def __init__(self, inside: Any) -> None:
        self._inside = inside
        self.sent: set[type] = set()

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._inside.bind(address, receive)

    def unbind(self, address: str) -> None:
        self._inside.unbind(address)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        self.sent.add(type(message))
        self._inside.send(sender, receiver, there(message))


class PicklingBackend(EmbeddedClusterBackend):
    """Deploys copies, and loses its process when it is told to."""

    def deploy(self, slot: Any, deployment: TaskDeployment) -> None:
        assert deployment.task_managers[deployment.subtask_id] == slot.task_manager
        super().deploy(slot, there(deployment))

    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        self.lose = listener


def launched(make: Callable[[TaskManager], PicklingBackend], transport: Callable[[Any], Any], count: int | None) -> LocalJob:
    in_time: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    env = StreamExecutionEnvironment().set_parallelism(2).configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    env.set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
    keyed = env.generate(lambda n: n, count, watermark_strategy=in_time, uid="in").key_by(lambda n: n % 3)
    least = keyed.window(TumblingEventTimeWindows.of(timedelta(milliseconds=10))).reduce(lambda a, b: min(a, b), uid="least")
    least.map(lambda n: f"least {n}").print()
    ports = system_ports(1)
    ports = dataclasses.replace(ports, transport=transport(ports.transport))
    local = Launcher(env.settings("copies"), default_manager(), ports, make).launch(env.job_graph("copies"))
    env.graph.nodes.clear()  # the program has been taken out of it
    return local


def test_a_job_gives_the_same_when_its_deployments_and_messages_are_copies(capsys: pytest.CaptureFixture[str]) -> None:
    transports: list[Pickling] = []

    def pickling(inside: Any) -> Pickling:
        transports.append(Pickling(inside))
        return transports[0]

    local = launched(PicklingBackend, pickling, 100)
    local.start()
    local.run()
    local.close()
    assert local.result().status is JobStatus.FINISHED
    expected = [f"least {start + offset}" for start in range(0, 100, 10) for offset in range(3)]
    assert sorted(line.partition("> ")[2] for line in capsys.readouterr().out.splitlines()) == sorted(expected)
    assert checkpoint_messages.CheckpointAcknowledged in transports[0].sent


def test_a_task_manager_that_is_lost_ends_the_attempt_but_one_of_an_older_attempt_does_not() -> None:
    backends: list[PicklingBackend] = []

    def backend(task_manager: TaskManager) -> PicklingBackend:
        backends.append(PicklingBackend(task_manager))
        return backends[0]

    local = launched(backend, lambda inside: inside, None)
    manager = local.job_manager
    assert manager is not None
    local.start()
    local.run(until=lambda: manager.status is JobStatus.RUNNING)
    (name,) = {manager._resources.slot_of(SubtaskId(vertex.vertex_id, 0)).task_manager for vertex in manager.job.vertices}

    backends[0].lose("an older one", "exit code -9")
    seen = [0]
    local.run(until=lambda: bool(seen.__setitem__(0, seen[0] + 1)) or seen[0] > 50)
    assert (manager.status, manager.restarts) == (JobStatus.RUNNING, 0)

    backends[0].lose(name, "exit code -9")
    local.run(until=lambda: manager.restarts == 1 and manager.status is JobStatus.RUNNING)
    backends[0].lose(name, "exit code -9")
    local.run()
    local.close()
    assert manager.status is JobStatus.FAILED
    assert isinstance(manager.error, TaskManagerLost)
    assert str(manager.error).startswith(f"Task manager {name} of job 'copies' was lost: exit code -9.")


def test_an_exception_that_cannot_be_sent_reaches_the_caller_with_its_message() -> None:
    class Unsendable(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

        def __reduce__(self) -> Any:
            raise TypeError("never")

    class Broken(GeneratorSource[int]):
        def create_reader(self, context: Any) -> Any:
            raise Unsendable(1, 2)

    env = StreamExecutionEnvironment()
    env.from_source(Broken(lambda n: n, 3, None)).print()
    with pytest.raises(JobFailedError, match=r"Unsendable: 1 and 2\n") as raised:
        env.execute("broken")
    assert isinstance(raised.value.__cause__, TaskFailed)
    assert raised.value.__cause__.error == "Unsendable: 1 and 2"
