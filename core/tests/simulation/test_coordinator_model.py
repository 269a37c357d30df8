"""Any order of acknowledgements, declines, timeouts, savepoints and ends of attempts, against a model that keeps lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import StreamExecutionEnvironment
from millstream.checkpoint.coordinator import CheckpointCoordinator
from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.manifest import FileRef, Manifest, TaskState
from millstream.checkpoint.messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    SavepointCompleted,
    TriggerCheckpoint,
)
from millstream.checkpoint.pending import PendingCheckpoint, Purpose
from millstream.checkpoint.savepoint import SavepointPlace, SavepointRequest
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.config import CheckpointConfig
from millstream.errors import SavepointFailed
from millstream.graph.execution_graph import ExecutionGraph, ExecutionState
from millstream.graph.job_graph import JobGraph
from millstream.ports import ManualClock
from millstream.testing import TransactionalTarget

INTERVAL_S, TIMEOUT_S = 10.0, 25.0


@cache
def job_graph() -> JobGraph:
    """Two sources and one more vertex."""
    environment = StreamExecutionEnvironment()
    stream = environment.from_collection([1], uid="a").union(environment.from_collection([2], uid="b"))
    stream.sink_to(TransactionalTarget[int]().sink(), uid="out")
    graph = environment.job_graph()
    environment.graph.nodes.clear()
    return graph


class StepwiseExecutor:
    """Does one piece of work when it is told to."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        def both() -> None:
            try:
                result = work()
            except OSError as error:
                done(None, error)
            else:
                done(result, None)

        self.waiting.append(both)

    def close(self) -> None:
        """Nothing runs."""


class FullStore(EphemeralStore):
    """Publishes unless it is told not to."""

    broken = False

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        super().publish(checkpoint_id, manifest, check)


@dataclass
class Savepoint:
    """One that was asked for."""

    checkpoint_id: int = 0
    store: FullStore = field(default_factory=FullStore)
    answers: list[tuple[str | None, Exception | None]] = field(default_factory=list)
    removed: bool = False


@dataclass
class Expected:
    """A checkpoint under way, as the model has it."""

    savepoint: Savepoint | None
    triggered_s: float
    acknowledged: set[int] = field(default_factory=set)
    refers_to: set[str] = field(default_factory=set)


class Driven:
    """A coordinator, its model, and everything that may happen to both."""

    def __init__(self, max_concurrent: int) -> None:
        self.clock, self.executor, self.store = ManualClock(), StepwiseExecutor(), FullStore()
        self.completed = CompletedCheckpoints(self.store, "job", 1, "me")
        self.completed.acquire_leadership()
        self.executions = ExecutionGraph(job_graph(), 0)
        config = CheckpointConfig(
            interval=timedelta(seconds=INTERVAL_S), timeout=timedelta(seconds=TIMEOUT_S), tolerable_failures=10**6, storage="memory",
            max_concurrent=max_concurrent,
        )  # fmt: skip
        self.max_concurrent = max_concurrent
        self.sent: list[Any] = []
        self.reported: list[int] = []
        self.coordinator = CheckpointCoordinator(config, self, self.completed, self.clock, self.executor, 1, "job")
        # the model
        self.pending: dict[int, Expected] = {}
        self.storing: set[int] = set()
        self.newest_files: set[str] = set()
        self.newest = 0
        self.savepoints: list[Savepoint] = []
        self.queued: list[Savepoint] = []
        self.attempt = -1
        self.start()

    # --- what the coordinator asks of the JobManager

    def send_to_task(self, subtask: object, message: object) -> None:
        self.sent.append(message)

    def snapshot_enumerators(self, checkpoint_id: int) -> dict[str, bytes]:
        return {}

    def make_manifest(self, pending: PendingCheckpoint) -> Manifest:
        return Manifest("job", "run", pending.checkpoint_id, "checkpoint", 0, 0, 0, "", "", [], list(pending.states.values()))

    def checkpoint_completed(self, manifest: Manifest, purpose: Purpose) -> None:
        self.reported.append(manifest.checkpoint_id)

    def fail(self, error: Exception) -> None:
        raise AssertionError(error)

    def post(self, action: Callable[[], None]) -> None:
        action()

    # --- what happens

    def start(self) -> None:
        self.attempt += 1
        self.executions = ExecutionGraph(self.executions.job, self.attempt)
        for execution in self.executions:
            execution.state = ExecutionState.RUNNING
        self.coordinator.start(self.executions)

    def end_of_attempt(self) -> None:
        self.coordinator.stop()
        for savepoint in self.queued:
            assert isinstance(savepoint.answers[0][1], SavepointFailed)
        self.queued.clear()
        for number, expected in self.pending.items():
            if expected.savepoint is not None and number not in self.storing:
                assert expected.savepoint.answers[0][0] is None
        self.pending.clear()
        while self.coordinator.is_storing:
            self.work()
        self.start()

    def ask(self) -> None:
        savepoint = Savepoint()

        def place(number: int) -> SavepointPlace:
            savepoint.checkpoint_id = number

            def remove() -> None:
                savepoint.removed = True

            return SavepointPlace(f"/sp-{number}", savepoint.store, remove)

        self.savepoints.append(savepoint)
        self.queued.append(savepoint)
        self.coordinator.request_savepoint(SavepointRequest(place, lambda path, error: savepoint.answers.append((path, error))))
        self.pass_time(0.0)

    def pass_time(self, seconds: float) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while (due_s := self.coordinator.next_due_s()) is not None and due_s <= until_s:
            self.clock.advance(max(0.0, due_s - self.clock.monotonic_s()))
            before = len(self.sent)
            self.coordinator.run_due()
            self.take_in(self.sent[before:])
        self.clock.advance(until_s - self.clock.monotonic_s())

    def take_in(self, messages: list[Any]) -> None:
        for number in dict.fromkeys(m.checkpoint_id for m in messages if isinstance(m, CheckpointAborted)):
            assert self.clock.monotonic_s() >= self.pending[number].triggered_s + TIMEOUT_S
            self.failed(number)
        for number, location in dict.fromkeys((m.checkpoint_id, m.savepoint) for m in messages if isinstance(m, TriggerCheckpoint)):
            assert number > max([self.newest, *self.pending])
            savepoint = self.queued.pop(0) if location else None
            self.pending[number] = Expected(savepoint, self.clock.monotonic_s())

    def failed(self, number: int) -> None:
        expected = self.pending.pop(number)
        if expected.savepoint is not None:
            ((path, error),) = expected.savepoint.answers
            assert path is None
            assert isinstance(error, SavepointFailed)

    def acknowledge(self, number: int, task: int, reuse: bool) -> None:
        place = list(self.executions)[task].subtask
        expected = self.pending.get(number)
        taken = expected is not None and len(expected.acknowledged) < len(self.executions)
        whole = expected is not None and expected.savepoint is not None
        # As tasks do: only what the newest checkpoint, and all those under way since, refer to.
        known = self.newest_files.intersection(*(other.refers_to for other in self.pending.values() if other.refers_to)) if reuse else set()
        earlier = [] if whole else [FileRef(name, 1, "", shared=True) for name in sorted(known)]
        own = FileRef(f"{number}-{task}", 1, "", shared=not whole)
        if taken and expected is not None:
            expected.refers_to |= set() if whole else {own.name, *known}
        if taken and not whole:
            self.store.write_shared(number, own.name, [b"x"])
        state = TaskState(place.vertex, place.subtask, [], own, earlier)
        self.coordinator.acknowledged(CheckpointAcknowledged(place, self.attempt, number, state))
        if taken and expected is not None:
            expected.acknowledged.add(task)
            if len(expected.acknowledged) == len(self.executions) and expected.savepoint is not None:
                self.storing.add(number)

    def decline(self, number: int) -> None:
        place = next(iter(self.executions)).subtask
        open_still = number in self.pending and len(self.pending[number].acknowledged) < len(self.executions)
        self.coordinator.declined(CheckpointDeclined(place, self.attempt, number, "no room"))
        if open_still:
            self.failed(number)

    def work(self, position: int = 0) -> None:
        """One piece of work on the executor, and what follows from it."""
        if not self.executor.waiting:
            return
        before = len(self.sent)
        work = self.executor.waiting[position % len(self.executor.waiting)]
        self.executor.waiting.remove(work)
        work()
        messages = self.sent[before:]
        for number in dict.fromkeys(m.checkpoint_id for m in messages if isinstance(m, SavepointCompleted)):
            expected = self.pending.pop(number)
            assert expected.savepoint is not None
            assert expected.savepoint.answers == [(f"/sp-{number}", None)]
            assert list(expected.savepoint.store.published()) == [number]
        for number in dict.fromkeys(m.checkpoint_id for m in messages if isinstance(m, CheckpointCompleted)):
            assert number > self.newest, "an older checkpoint was completed after a newer one"
            assert self.pending[number].savepoint is None, "a savepoint must not commit anything"
            assert len(self.pending[number].acknowledged) == len(self.executions)
            self.newest = number
            self.pending = {n: e for n, e in self.pending.items() if n > number or e.savepoint is not None}
            self.pending.pop(number, None)
            self.newest_files = set(self.completed.read(number).shared_files())
        for number in dict.fromkeys(m.checkpoint_id for m in messages if isinstance(m, CheckpointAborted)):
            self.failed(number)

    # --- what must hold at any moment

    def check(self) -> None:
        own = [number for number, expected in self.pending.items() if expected.savepoint is None]
        assert len(own) <= self.max_concurrent
        for number in self.store.published():
            missing = self.completed.read(number).shared_files() - set(self.store.shared())
            assert not missing, f"checkpoint {number} refers to {missing}"
        assert self.newest in (0, *self.store.published())
        for savepoint in self.savepoints:
            assert len(savepoint.answers) <= 1
            if savepoint.answers and savepoint.answers[0][0] is not None:
                assert not savepoint.removed
                manifest = CompletedCheckpoints(savepoint.store, "", 1).read(savepoint.checkpoint_id)
                assert (manifest.kind, manifest.shared_files()) == ("savepoint", frozenset())
            assert savepoint.checkpoint_id not in self.store.published(), "its id was used once more"


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("acknowledge all"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("acknowledge all"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("acknowledge"), st.integers(0, 3), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("decline"), st.integers(0, 3)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 10.0, 10.0, 10.0, 30.0])),
        st.tuples(st.just("round")),
        st.tuples(st.just("work"), st.integers(0, 2)),
        st.tuples(st.just("work"), st.integers(0, 2)),
        st.tuples(st.just("ask")),
        st.tuples(st.just("broken"), st.booleans()),
        st.tuples(st.just("end")),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(actions=ACTIONS, max_concurrent=st.integers(1, 3))
def test_whatever_happens_in_whatever_order_the_coordinator_does_what_the_model_does(actions: list[Any], max_concurrent: int) -> None:
    driven = Driven(max_concurrent)
    driven.pass_time(INTERVAL_S)
    for kind, *args in actions:
        numbers = list(driven.pending) or [1]
        if kind == "acknowledge all":
            for task in range(len(driven.executions)):
                driven.acknowledge(numbers[args[0] % len(numbers)], task, args[1])
        elif kind == "acknowledge":
            driven.acknowledge(numbers[args[0] % len(numbers)], args[1] % len(driven.executions), args[2])
        elif kind == "decline":
            driven.decline(numbers[args[0] % len(numbers)])
        elif kind == "pass":
            driven.pass_time(args[0])
        elif kind == "work":
            driven.work(args[0])
        elif kind == "round":  # a checkpoint that comes to its end, and the next one
            for task in range(len(driven.executions)):
                driven.acknowledge(numbers[0], task, True)
            while driven.executor.waiting:
                driven.work()
            driven.pass_time(INTERVAL_S)
        elif kind == "ask":
            driven.ask()
        elif kind == "broken":
            driven.store.broken = args[0]
        else:
            driven.end_of_attempt()
        driven.check()
    driven.store.broken = False
    driven.coordinator.stop()
    driven.coordinator.close()
    assert all(len(savepoint.answers) == 1 for savepoint in driven.savepoints), "somebody waits for ever"
    while driven.executor.waiting:
        driven.executor.waiting.popleft()()
