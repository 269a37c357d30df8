"""When checkpoints are triggered, given up and kept: one test a rule, on a clock that is moved by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.checkpoint.coordinator import CheckpointCoordinator, PendingCheckpoint, Purpose
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
from millstream.checkpoint.savepoint import SavepointPlace, SavepointRequest
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.config import CheckpointConfig
from millstream.errors import CheckpointFailed, SavepointFailed
from millstream.graph.execution_graph import ExecutionGraph, ExecutionState, SubtaskId
from millstream.ports import ManualClock
from millstream.testing import TransactionalTarget


class WatchedStore(EphemeralStore):
    """Tells what becomes durable, and fails when it is told to."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self._events = events
        self.broken = False

    def publish(self, checkpoint_id: int, manifest: bytes, check: Any = None) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self._events.append(f"durable {checkpoint_id}")
        super().publish(checkpoint_id, manifest)


class LateExecutor:
    """Does its work when it is told to."""

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

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()

    def close(self) -> None:
        """Nothing runs."""


class Job:
    """A coordinator with a job of two sources and one more vertex around it, all of whose tasks answer when the test says so."""

    def __init__(self, **options: Any) -> None:
        environment = StreamExecutionEnvironment()
        stream = environment.from_collection([1], uid="a").union(environment.from_collection([2], uid="b"))
        stream.sink_to(TransactionalTarget[int]().sink(), uid="out")
        self.clock = ManualClock()
        self.events: list[str] = []
        self.sent: list[tuple[SubtaskId, Any]] = []
        self.failures: list[Exception] = []
        self.executor = LateExecutor()
        self.store = WatchedStore(self.events)
        self.completed = CompletedCheckpoints(self.store, "job", options.get("retained", 1))
        self.executions = ExecutionGraph(environment.job_graph(), 0)
        config = CheckpointConfig(**{"interval": timedelta(seconds=10), "tolerable_failures": 100, "storage": "memory", **options})
        self.coordinator = CheckpointCoordinator(config, self, self.completed, self.clock, self.executor, first_id=1)
        environment.graph.nodes.clear()
        self.completed.acquire_leadership()

    # --- what the coordinator asks of the JobManager

    def send_to_task(self, subtask: SubtaskId, message: object) -> None:
        self.sent.append((subtask, message))
        if isinstance(message, CheckpointCompleted):
            self.events.append(f"told {message.checkpoint_id}")

    def snapshot_enumerators(self, checkpoint_id: int) -> dict[str, bytes]:
        return {}

    def make_manifest(self, pending: PendingCheckpoint) -> Manifest:
        return Manifest("job", "run", pending.checkpoint_id, "checkpoint", 0, 0, 0, "", "", [], list(pending.states.values()))

    def checkpoint_completed(self, manifest: Manifest, purpose: Purpose) -> None:
        self.events.append(f"completed {manifest.checkpoint_id}")

    def fail(self, error: Exception) -> None:
        self.failures.append(error)

    def post(self, action: Callable[[], None]) -> None:
        action()

    # --- what a test does

    def start(self) -> Job:
        for execution in self.executions:
            execution.state = ExecutionState.RUNNING
        self.coordinator.start(self.executions)
        return self

    def pass_time(self, seconds: float) -> None:
        """As a driver would: nothing happens before it is due."""
        until_s = self.clock.monotonic_s() + seconds
        while (due_s := self.coordinator.next_due_s()) is not None and due_s <= until_s:
            self.clock.advance(max(0.0, due_s - self.clock.monotonic_s()))
            self.coordinator.run_due()
        self.clock.advance(until_s - self.clock.monotonic_s())

    def triggers(self) -> list[int]:
        """Ids of the checkpoints triggered so far."""
        return sorted({message.checkpoint_id for _, message in self.sent if isinstance(message, TriggerCheckpoint)})

    def told(self, kind: type) -> list[tuple[SubtaskId, int]]:
        return [(subtask, message.checkpoint_id) for subtask, message in self.sent if isinstance(message, kind)]

    def acknowledge(self, checkpoint_id: int, *, attempt: int = 0, but: int = 0, file: FileRef | None = None, earlier: FileRef | None = None) -> None:
        """All tasks acknowledge, or all but the last few; with a file of their own and one of an earlier checkpoint."""
        executions = list(self.executions)
        for execution in executions[: len(executions) - but]:
            place = execution.subtask
            state = TaskState(place.vertex, place.subtask, [], file, [earlier] if earlier else [])
            self.coordinator.acknowledged(CheckpointAcknowledged(place, attempt, checkpoint_id, state))

    def decline(self, checkpoint_id: int) -> None:
        self.coordinator.declined(CheckpointDeclined(next(iter(self.executions)).subtask, 0, checkpoint_id, "no room"))

    def complete(self, checkpoint_id: int) -> None:
        self.acknowledge(checkpoint_id)
        self.executor.run()


# --- triggering


def test_the_first_checkpoint_comes_one_interval_after_the_start() -> None:
    job = Job().start()
    job.pass_time(9.99)
    assert job.triggers() == []
    job.pass_time(0.01)
    assert job.triggers() == [1]


def test_only_sources_are_triggered() -> None:
    job = Job().start()
    job.pass_time(10)
    assert [subtask.vertex for subtask, _ in job.sent] == [execution.subtask.vertex for execution in job.executions.sources()]
    assert len(job.executions) > len(job.sent)


def test_nothing_is_triggered_while_a_task_does_not_run_and_as_soon_as_it_does() -> None:
    job = Job().start()
    late = list(job.executions)[-1]
    late.state = ExecutionState.DEPLOYING
    job.pass_time(25)
    assert job.triggers() == []
    late.state = ExecutionState.RUNNING
    job.pass_time(0)
    assert job.triggers() == [1]


def test_a_task_whose_input_has_ended_takes_part() -> None:
    job = Job().start()
    next(iter(job.executions)).state = ExecutionState.INPUT_ENDED
    job.pass_time(10)
    assert job.triggers() == [1]


def test_no_second_checkpoint_begins_while_one_is_under_way() -> None:
    job = Job(timeout=timedelta(minutes=10)).start()
    job.pass_time(300)
    assert job.triggers() == [1]


def test_a_trigger_that_had_to_wait_comes_as_soon_as_allowed_and_no_burst_follows() -> None:
    job = Job(timeout=timedelta(minutes=10)).start()
    job.pass_time(63)  # five more would have been due meanwhile
    job.complete(1)
    job.pass_time(0)
    assert job.triggers() == [1, 2]
    job.complete(2)
    job.pass_time(9.9)
    assert job.triggers() == [1, 2]
    job.pass_time(0.1)
    assert job.triggers() == [1, 2, 3]


def test_the_pause_is_measured_from_the_completion_of_the_checkpoint_before() -> None:
    job = Job(min_pause=timedelta(seconds=8)).start()
    job.pass_time(17)
    job.complete(1)  # triggered at 10, completed at 17
    job.pass_time(7.9)
    assert job.triggers() == [1]
    job.pass_time(0.1)
    assert job.triggers() == [1, 2]


def test_a_pause_shorter_than_the_rest_of_the_interval_changes_nothing() -> None:
    job = Job(min_pause=timedelta(seconds=3)).start()
    job.pass_time(11)
    job.complete(1)
    job.pass_time(8.9)
    assert job.triggers() == [1]
    job.pass_time(0.1)
    assert job.triggers() == [1, 2]


def test_a_requested_checkpoint_does_not_wait_for_interval_or_pause() -> None:
    job = Job(min_pause=timedelta(seconds=8)).start()
    job.pass_time(10)
    job.complete(1)
    job.coordinator.request("final")
    job.pass_time(0)
    assert job.triggers() == [1, 2]


def test_a_requested_checkpoint_that_fails_is_asked_for_again_after_a_second() -> None:
    job = Job().start()
    job.coordinator.request("stop")
    job.pass_time(0)
    job.decline(1)
    job.pass_time(0.99)
    assert job.triggers() == [1]
    job.pass_time(0.01)
    assert job.triggers() == [1, 2]
    assert all(message.stop for _, message in job.sent if isinstance(message, TriggerCheckpoint))


def test_barriers_of_at_least_once_are_not_aligned() -> None:
    modes = {}
    for mode in ("exactly_once", "at_least_once"):
        job = Job(mode=mode).start()
        job.pass_time(10)
        modes[mode] = {message.aligned for _, message in job.sent if isinstance(message, TriggerCheckpoint)}
    assert modes == {"exactly_once": {True}, "at_least_once": {False}}


# --- giving up


def test_a_checkpoint_has_its_timeout_from_the_trigger_to_the_last_acknowledgement() -> None:
    job = Job(timeout=timedelta(seconds=4)).start()
    job.pass_time(13.9)
    job.acknowledge(1, but=1)
    assert job.coordinator.statistics.failed == 0
    job.pass_time(0.1)
    assert job.coordinator.statistics.failed == 1


def test_a_checkpoint_that_timed_out_is_deleted_and_every_task_is_told() -> None:
    job = Job(timeout=timedelta(seconds=4)).start()
    job.pass_time(10)
    job.store.write_file(1, "task-0-0", [b"state"])
    job.pass_time(4)
    job.executor.run()
    assert job.told(CheckpointAborted) == [(execution.subtask, 1) for execution in job.executions]
    assert list(job.store.unpublished()) == []


def test_the_time_to_store_the_manifest_does_not_count() -> None:
    job = Job(timeout=timedelta(seconds=4)).start()
    job.pass_time(10)
    job.acknowledge(1)
    job.pass_time(60)
    assert job.coordinator.statistics.failed == 0
    job.executor.run()
    assert job.coordinator.statistics.completed == 1


def test_an_acknowledgement_after_the_timeout_changes_nothing() -> None:
    job = Job(timeout=timedelta(seconds=4)).start()
    job.pass_time(14)
    job.acknowledge(1)
    job.executor.run()
    assert (list(job.store.published()), job.coordinator.statistics.completed) == ([], 0)


def test_an_acknowledgement_of_an_earlier_attempt_changes_nothing() -> None:
    job = Job().start()
    job.coordinator.stop()
    job.executions = ExecutionGraph(job.executions.job, 1)
    job.start()
    job.pass_time(10)
    job.acknowledge(1, attempt=0)
    job.executor.run()
    assert job.coordinator.statistics.completed == 0
    job.acknowledge(1, attempt=1)
    job.executor.run()
    assert job.coordinator.statistics.completed == 1


def test_an_acknowledgement_that_comes_twice_counts_once() -> None:
    job = Job().start()
    job.pass_time(10)
    job.acknowledge(1, but=1)
    job.acknowledge(1, but=1)
    assert job.coordinator.statistics.completed == 0
    job.complete(1)
    assert job.coordinator.statistics.completed == 1


def test_a_declined_checkpoint_is_a_failed_one() -> None:
    job = Job().start()
    job.pass_time(10)
    job.decline(1)
    assert job.coordinator.statistics.failed == 1
    assert job.told(CheckpointAborted) == [(execution.subtask, 1) for execution in job.executions]


def test_a_manifest_that_cannot_be_stored_is_a_failed_checkpoint() -> None:
    job = Job().start()
    job.store.broken = True
    job.pass_time(10)
    job.complete(1)
    assert job.coordinator.statistics.failed == 1
    assert job.told(CheckpointCompleted) == []


def test_as_many_failures_in_a_row_as_are_tolerated_do_not_fail_the_job_and_one_more_does() -> None:
    job = Job(tolerable_failures=2).start()
    for checkpoint_id in (1, 2):
        job.pass_time(10)
        job.decline(checkpoint_id)
    assert job.failures == []
    job.pass_time(10)
    job.decline(3)
    (failure,) = job.failures
    assert isinstance(failure, CheckpointFailed)
    assert (failure.checkpoint_id, failure.tolerated) == (3, 2)


def test_by_default_the_first_failure_fails_the_job() -> None:
    job = Job(tolerable_failures=CheckpointConfig().tolerable_failures).start()
    job.pass_time(10)
    job.decline(1)
    assert len(job.failures) == 1


def test_a_completed_checkpoint_ends_the_row_of_failures() -> None:
    job = Job(tolerable_failures=1).start()
    for checkpoint_id in (1, 3, 5):
        job.pass_time(10)
        job.decline(checkpoint_id)
        job.pass_time(10)
        job.complete(checkpoint_id + 1)
    assert job.failures == []


def test_a_restart_of_the_job_ends_the_row_of_failures() -> None:
    job = Job(tolerable_failures=1).start()
    job.pass_time(10)
    job.decline(1)
    job.coordinator.stop()
    job.start()
    job.pass_time(10)
    job.decline(2)
    assert job.failures == []


# --- completing


def test_the_manifest_is_durable_before_anybody_is_told() -> None:
    job = Job().start()
    job.pass_time(10)
    job.complete(1)
    assert job.events == ["durable 1", *["told 1"] * len(job.executions), "completed 1"]


def test_every_task_is_told_not_only_the_sources() -> None:
    job = Job().start()
    job.pass_time(10)
    job.complete(1)
    assert job.told(CheckpointCompleted) == [(execution.subtask, 1) for execution in job.executions]


def test_nobody_is_told_of_a_checkpoint_whose_attempt_ended_while_it_was_stored_but_it_counts() -> None:
    job = Job().start()
    job.pass_time(10)
    job.acknowledge(1)
    job.coordinator.stop()
    assert job.coordinator.is_storing
    job.executor.run()
    assert not job.coordinator.is_storing
    assert (list(job.store.published()), job.told(CheckpointCompleted)) == ([1], [])


def test_only_the_newest_checkpoints_are_kept_as_many_as_asked_for() -> None:
    for retained in (1, 3):
        job = Job(retained=retained).start()
        for checkpoint_id in range(1, 6):
            job.pass_time(10)
            job.complete(checkpoint_id)
        assert list(job.store.published()) == list(range(6 - retained, 6))


def test_a_failed_checkpoint_drops_no_completed_one() -> None:
    job = Job().start()
    job.pass_time(10)
    job.complete(1)
    job.pass_time(10)
    job.decline(2)
    job.executor.run()
    assert list(job.store.published()) == [1]


def test_what_a_slow_task_wrote_to_a_checkpoint_that_was_given_up_goes_with_the_next_one() -> None:
    job = Job().start()
    job.pass_time(10)
    job.decline(1)
    job.executor.run()
    job.store.write_file(1, "task-0-0", [b"late"])
    job.pass_time(10)
    job.complete(2)
    assert (list(job.store.unpublished()), list(job.store.published())) == ([], [2])


def test_an_id_is_never_used_again() -> None:
    job = Job(timeout=timedelta(seconds=4)).start()
    job.pass_time(10)
    job.decline(1)  # declined
    job.pass_time(14)  # timed out
    job.pass_time(6)
    job.coordinator.stop()  # dropped with its attempt
    job.start()
    job.pass_time(10)
    job.complete(4)
    assert job.triggers() == [1, 2, 3, 4]


def test_without_an_interval_only_what_is_requested_is_triggered() -> None:
    job = Job(interval=None).start()
    job.pass_time(3600)
    assert job.triggers() == []
    job.coordinator.request("final")
    job.pass_time(0)
    assert job.triggers() == [1]


# --- shared files


def test_a_checkpoint_may_refer_to_files_of_the_newest_completed_one_and_to_no_others() -> None:
    job = Job().start()
    first, second = (FileRef(f"{number}-0-0-0-{number:016x}", 1, "0" * 64, shared=True) for number in (1, 2))
    job.pass_time(10)
    job.acknowledge(1, file=first)
    job.executor.run()
    job.pass_time(10)
    job.acknowledge(2, file=second, earlier=first)
    job.executor.run()
    job.pass_time(10)
    job.acknowledge(3, earlier=second)
    job.executor.run()
    assert [number for _, number in job.told(CheckpointCompleted)][-1] == 3
    job.pass_time(10)
    job.acknowledge(4, earlier=first)
    assert {number for _, number in job.told(CheckpointAborted)} == {4}
    assert job.store.published() == [3]


# --- several at a time


def concurrent_job(**options: Any) -> Job:
    """One that may have two checkpoints under way, of which the first has been completed with a shared file `a`."""
    job = Job(max_concurrent=2, timeout=timedelta(minutes=10), **options).start()
    job.pass_time(10)
    job.store.write_shared(1, "1-a", [b"a"])
    job.acknowledge(1, file=FileRef("1-a", 1, "", shared=True))
    job.executor.run()
    return job


def test_as_many_checkpoints_are_under_way_as_may_be_and_the_next_comes_when_one_is_done_without_a_burst() -> None:
    job = concurrent_job()
    job.pass_time(45)
    assert job.triggers() == [1, 2, 3]
    job.complete(2)
    job.pass_time(0)
    assert job.triggers() == [1, 2, 3, 4]
    job.complete(3)
    job.pass_time(9.9)
    assert job.triggers() == [1, 2, 3, 4]
    job.pass_time(0.1)
    assert job.triggers() == [1, 2, 3, 4, 5]


def test_a_completed_checkpoint_ends_those_before_it_and_that_is_no_failure() -> None:
    job = concurrent_job(tolerable_failures=0)
    job.pass_time(20)
    job.complete(3)
    job.complete(2)
    assert (job.coordinator.statistics.completed, job.coordinator.statistics.failed, job.failures) == (2, 0, [])
    assert list(job.store.published()) == [3]


def test_manifests_are_stored_one_after_the_other_the_oldest_first() -> None:
    job = concurrent_job()
    job.pass_time(20)
    job.acknowledge(2)
    job.acknowledge(3)
    assert len(job.executor.waiting) == 1
    job.executor.run()
    assert job.events[-8:] == [*["told 2"] * len(job.executions), "completed 2", "durable 3", *["told 3"] * len(job.executions), "completed 3"][-8:]


def test_a_checkpoint_that_refers_to_what_the_one_completed_meanwhile_lets_go_is_given_up() -> None:
    job = concurrent_job()
    job.pass_time(20)
    job.acknowledge(3, but=1, earlier=FileRef("1-a", 1, "", shared=True))
    job.complete(2)
    assert (job.coordinator.statistics.failed, list(job.store.shared())) == (1, [])
    job.complete(3)
    assert list(job.store.published()) == [2]


def test_the_timeout_of_one_says_nothing_of_the_other() -> None:
    job = Job(max_concurrent=2, timeout=timedelta(seconds=15)).start()
    job.pass_time(24)
    assert job.triggers() == [1, 2]
    job.pass_time(1)
    assert sorted({number for _, number in job.told(CheckpointAborted)}) == [1]
    job.complete(2)
    assert list(job.store.published()) == [2]


def test_when_some_tasks_go_back_what_is_not_being_stored_is_given_up_and_that_is_no_failure() -> None:
    job = concurrent_job(tolerable_failures=0)
    job.pass_time(20)
    job.acknowledge(2)
    job.acknowledge(3, but=1)
    job.coordinator.give_up("some tasks have failed")
    assert sorted({number for _, number in job.told(CheckpointAborted)}) == [3]
    assert job.coordinator.is_storing
    job.executor.run()
    job.acknowledge(3)
    job.executor.run()
    assert list(job.store.published()) == [2]
    assert (job.coordinator.statistics.failed, job.failures) == (0, [])
    job.pass_time(10)
    assert job.triggers() == [1, 2, 3, 4]


# --- savepoints


class Wish:
    """Somebody who wants a savepoint."""

    def __init__(self) -> None:
        self.store = EphemeralStore()
        self.answers: list[tuple[str | None, Exception | None]] = []
        self.removed = 0
        self.request = SavepointRequest(lambda number: SavepointPlace(f"/sp-{number}", self.store, self.remove), self.done)

    def remove(self) -> None:
        self.removed += 1

    def done(self, path: str | None, error: Exception | None) -> None:
        self.answers.append((path, error))

    @property
    def path(self) -> str | None:
        """What was answered, if there is a savepoint."""
        ((path, error),) = self.answers
        assert (path is None) == isinstance(error, SavepointFailed)
        return path


def test_a_savepoint_waits_neither_for_the_interval_nor_for_a_checkpoint_under_way_and_does_not_move_the_next_one() -> None:
    job, wish = Job(min_pause=timedelta(seconds=3)).start(), Wish()
    job.pass_time(10)
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(0)
    assert job.triggers() == [1, 2]
    job.complete(2)
    assert wish.path == "/sp-2"
    job.complete(1)
    job.pass_time(10)
    assert job.triggers() == [1, 2, 3]


def test_of_a_savepoint_nobody_is_told_to_commit_and_it_is_not_among_the_checkpoints() -> None:
    job, wish = Job().start(), Wish()
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(0)
    job.complete(1)
    assert (job.told(CheckpointCompleted), list(job.store.published()), list(wish.store.published())) == ([], [], [1])
    assert job.told(SavepointCompleted) == [(execution.subtask, 1) for execution in job.executions]
    assert CompletedCheckpoints(wish.store, "", 1).read(1).kind == "savepoint"
    assert job.coordinator.statistics.completed == 0


def test_a_completed_checkpoint_does_not_end_a_savepoint_before_it() -> None:
    job, wish = Job().start(), Wish()
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(10)
    job.complete(2)
    job.complete(1)
    assert wish.path == "/sp-1"


@pytest.mark.parametrize("how", ["declined", "timed out", "attempt over", "given up", "disk full"])
def test_a_savepoint_that_fails_is_no_failed_checkpoint_who_asked_is_told_and_what_was_written_goes(how: str) -> None:
    job, wish = Job(interval=timedelta(hours=1), tolerable_failures=0, timeout=timedelta(seconds=5)).start(), Wish()
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(0)
    if how == "declined":
        job.decline(1)
    elif how == "timed out":
        job.pass_time(5)
    elif how == "attempt over":
        job.coordinator.stop()
    elif how == "given up":
        job.coordinator.give_up("some tasks have failed")
    else:
        wish.store = WatchedStore([])
        wish.store.broken = True
        other = Wish()
        other.store = wish.store
        job.coordinator.request_savepoint(other.request)
        job.pass_time(0)
        job.complete(2)
        job.complete(1)
        wish = other
    job.executor.run()
    assert wish.path is None
    assert (wish.removed, job.failures, job.coordinator.statistics.failed) == (1, [], 0)


def test_the_last_checkpoint_waits_for_savepoints_and_none_begins_behind_it() -> None:
    job, first, second = Job().start(), Wish(), Wish()
    job.coordinator.request_savepoint(first.request)
    job.pass_time(0)
    job.coordinator.request("stop")
    job.pass_time(0)
    assert job.triggers() == [1]
    job.complete(1)
    job.pass_time(0)
    job.coordinator.request_savepoint(second.request)
    job.pass_time(0)
    assert job.triggers() == [1, 2]
    job.complete(2)
    job.coordinator.stop()
    assert (first.path, second.path) == ("/sp-1", None)


@pytest.mark.parametrize("purpose", ["stop", "final"])
def test_behind_the_last_checkpoint_nothing_is_triggered_although_tasks_have_not_heard_of_it_yet(purpose: Purpose) -> None:
    job, wish = Job().start(), Wish()
    job.coordinator.request(purpose)
    job.pass_time(0)
    job.complete(1)
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(100)
    assert job.triggers() == [1]
    job.coordinator.stop()
    assert wish.path is None


def test_a_stop_with_a_savepoint_is_a_checkpoint_as_well_durable_after_the_savepoint() -> None:
    """What is committed for it must not be committed once more by a restart that goes on from an earlier one."""
    job, wish = Job().start(), Wish()
    job.coordinator.request_savepoint(wish.request, with_last=True)
    job.coordinator.request("stop")
    job.pass_time(0)
    assert all(message.last and message.savepoint == "/sp-1" for _, message in job.sent if isinstance(message, TriggerCheckpoint))
    job.acknowledge(1)
    job.executor.run()
    assert (wish.path, list(wish.store.published()), list(job.store.published())) == ("/sp-1", [1], [1])
    assert len(job.told(CheckpointCompleted)) == len(job.executions)


def test_a_stop_whose_savepoint_fails_is_none() -> None:
    job, wish = Job(tolerable_failures=0).start(), Wish()
    job.coordinator.request_savepoint(wish.request, with_last=True)
    job.coordinator.request("stop")
    job.pass_time(0)
    job.decline(1)
    job.pass_time(10)
    assert (wish.path, job.failures, job.triggers()) == (None, [], [1, 2])
    assert not [message for _, message in job.sent if isinstance(message, TriggerCheckpoint) and message.checkpoint_id == 2 and message.stop]


@pytest.mark.parametrize("how", ["declined", "no place"])
def test_input_that_has_ended_is_checkpointed_though_a_stop_that_came_in_between_fails(how: str) -> None:
    job, wish = Job().start(), Wish()
    for execution in job.executions:
        execution.state = ExecutionState.INPUT_ENDED
    job.coordinator.request("final")
    if how == "no place":
        wish.request = SavepointRequest(lambda number: Path(f"/proc/{number}/none").mkdir(), wish.done)  # type: ignore[arg-type,return-value]
    job.coordinator.request_savepoint(wish.request, with_last=True)
    job.coordinator.request("stop")
    job.pass_time(0)
    if how == "declined":
        job.decline(1)
    assert [path for path, _ in wish.answers] == [None]
    job.pass_time(1)
    last = [message for _, message in job.sent if isinstance(message, TriggerCheckpoint)][-1]
    assert (last.checkpoint_id, last.last, last.stop) == (2, True, False)


def test_the_id_of_a_savepoint_is_spent_in_the_store_of_the_checkpoints_too() -> None:
    job, wish = Job().start(), Wish()
    spent: list[int] = []
    write_file = job.store.write_file
    job.store.write_file = lambda number, name, parts: (spent.append(number), write_file(number, name, parts))[1]  # type: ignore[method-assign]
    job.coordinator.request_savepoint(wish.request)
    job.pass_time(0)
    job.complete(1)
    assert spent == [1]
    assert list(job.store.unpublished()) == []
