"""Decides when a checkpoint is taken, gathers the acknowledgements, makes it durable, and tells the tasks.

The order is the promise: all acknowledgements, then the manifest durable, then in the store, then the tasks are told. Lives on the
JobManager's thread; what blocks runs on the executor and comes back as mail.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from millstream.checkpoint.messages import CheckpointAborted, CheckpointAcknowledged, CheckpointCompleted, CheckpointDeclined, TriggerCheckpoint
from millstream.errors import CheckpointFailed, LeaderFenced
from millstream.graph.execution_graph import ExecutionGraph, ExecutionState, SubtaskId
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.manifest import Manifest, TaskState
    from millstream.checkpoint.store import CompletedCheckpoints
    from millstream.config import CheckpointConfig
    from millstream.ports import Clock, Executor

log = logging.getLogger(__name__)

Purpose: TypeAlias = Literal["periodic", "final", "stop"]


class CoordinatedJob(Protocol):
    """What the coordinator needs of the JobManager."""

    def send_to_task(self, subtask: SubtaskId, message: object) -> None:
        """To the current attempt of a task."""

    def snapshot_enumerators(self, checkpoint_id: int) -> dict[str, bytes]:
        """State of the split enumerators, by source uid."""

    def make_manifest(self, pending: PendingCheckpoint) -> Manifest:
        """The manifest of a checkpoint that is all there."""

    def checkpoint_completed(self, manifest: Manifest, purpose: Purpose) -> None:
        """It is durable and in the store; the tasks were told."""

    def fail(self, error: Exception) -> None:
        """The job has failed; the restart strategy decides."""

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` on the JobManager's thread."""


TRY_AGAIN_S: Final = 1.0
"""Time until a last checkpoint that failed is tried again: what made it fail seldom goes away at once."""


@dataclass
class PendingCheckpoint:
    """A checkpoint under way."""

    checkpoint_id: int
    purpose: Purpose
    triggered_ms: int
    started_s: float
    expected: int
    enumerators: dict[str, bytes]
    states: dict[SubtaskId, TaskState] = field(default_factory=dict)
    storing: bool = False


@dataclass
class CheckpointStatistics:
    """Counts over the life of the JobManager."""

    completed: int = 0
    failed: int = 0
    last_completed_id: int = 0
    last_duration_s: float = 0.0
    last_state_bytes: int = 0


class CheckpointCoordinator:
    """One per job. One checkpoint at a time.

    Args:
        config: the job's options; without an interval only the last checkpoint of the input is taken.
        job: the JobManager.
        completed: the store.
        first_id: the id of the next checkpoint; never one that was used before.
    """

    def __init__(
        self, config: CheckpointConfig, job: CoordinatedJob, completed: CompletedCheckpoints, clock: Clock, executor: Executor, first_id: int
    ) -> None:
        self._config = config
        self._job = job
        self._completed = completed
        self._clock = clock
        self._executor = executor
        self._next_id = first_id
        self._executions: ExecutionGraph | None = None
        self._pending: PendingCheckpoint | None = None
        self._due_s: float | None = None
        self._allowed_s = 0.0
        self._failures_in_a_row = 0
        self._wanted: Purpose | None = None
        self._wanted_s = -inf
        self._storing = 0
        self._dropping = False
        self._shared_files: frozenset[str] = frozenset()  # those of the newest completed checkpoint
        self.statistics = CheckpointStatistics()

    # --- life of an attempt

    def start(self, executions: ExecutionGraph) -> None:
        """Begins with an attempt of the job."""
        self._executions = executions
        self._failures_in_a_row = 0
        interval = self._config.interval
        self._due_s = self._clock.monotonic_s() + interval.total_seconds() if interval else None

    @property
    def is_storing(self) -> bool:
        """Whether a manifest is on its way to the store. Nothing may be restored meanwhile: it could become the newest just then."""
        return self._storing > 0

    def stop(self) -> None:
        """The attempt is over: what is pending is dropped. A manifest being written may still become durable; it is a whole one."""
        self._executions = None
        self._pending = None
        self._wanted = None
        self._due_s = None

    @property
    def takes_the_last(self) -> bool:
        """Whether a checkpoint is wanted or under way behind which nothing is processed."""
        pending = self._pending
        return self._wanted in ("final", "stop") or (pending is not None and pending.purpose in ("final", "stop"))

    def give_up(self, reason: str) -> None:
        """Some tasks go back to an earlier checkpoint: what is under way cannot be completed. That is no failure of the checkpoint."""
        pending = self._pending
        if pending is not None and not pending.storing:
            self._pending = None
            log.info("checkpoint %d is given up: %s", pending.checkpoint_id, reason)
            self._withdraw(pending)

    def request(self, purpose: Purpose) -> None:
        """Asks for one more checkpoint, as soon as it is allowed."""
        self._wanted = purpose
        self._wanted_s = -inf  # at once, whatever the clock says

    # --- time

    def next_due_s(self) -> float | None:
        """Monotonic time at which `run_due` has something to do; None if only a message can change that."""
        pending = self._pending
        if pending is not None:
            return None if pending.storing else pending.started_s + self._config.timeout.total_seconds()
        if self._wanted:
            return self._wanted_s if self._may_trigger() else None
        if self._due_s is None:
            return None
        due_s = max(self._due_s, self._allowed_s)
        # Whether all tasks run is asked only when it matters: this is called between any two batches.
        return due_s if due_s > self._clock.monotonic_s() or self._may_trigger() else None

    def run_due(self) -> None:
        """Triggers or times out what is due."""
        due_s, now_s = self.next_due_s(), self._clock.monotonic_s()
        if due_s is None or due_s > now_s:
            return
        if self._pending is not None:
            self._failed(f"not all tasks acknowledged within {self._config.timeout.total_seconds():g} s")
        else:
            self._trigger(self._wanted or "periodic", now_s)

    def _may_trigger(self) -> bool:
        return self._executions is not None and self._executions.all_in(ExecutionState.RUNNING, ExecutionState.INPUT_ENDED)

    def _trigger(self, purpose: Purpose, now_s: float) -> None:
        assert self._executions is not None  # noqa: S101 - _may_trigger
        interval = self._config.interval
        # Counted from now: a trigger that had to wait is not followed by a burst.
        self._due_s = now_s + interval.total_seconds() if interval else None
        self._wanted = None
        checkpoint_id = self._next_id
        self._next_id += 1
        if purpose == "final":
            crash_point("end.before_final_checkpoint")
        try:
            enumerators = self._job.snapshot_enumerators(checkpoint_id)
        except Exception as error:  # noqa: BLE001 - a connector's code
            self._job.fail(error)
            return
        now_ms = self._clock.now_ms()
        self._pending = PendingCheckpoint(checkpoint_id, purpose, now_ms, now_s, len(self._executions), enumerators)
        message = TriggerCheckpoint(checkpoint_id, now_ms, aligned=self._config.mode == "exactly_once", stop=purpose == "stop")
        sources = self._executions.sources()
        for number, source in enumerate(sources):
            if number == len(sources) // 2:
                crash_point("coordinator.trigger.sent_half")
            self._job.send_to_task(source.subtask, message)

    # --- answers

    def acknowledged(self, message: CheckpointAcknowledged) -> None:
        """A task has stored its state."""
        pending = self._match(message.subtask, message.attempt, message.checkpoint_id)
        if pending is None:
            return
        unknown = {file.name for file in message.state.earlier} - self._shared_files
        if unknown:  # deleted, or about to be: only what the newest checkpoint refers to is kept for certain
            self._failed(f"a task refers to {', '.join(sorted(unknown))}, which the newest completed checkpoint does not")
            return
        pending.states[message.subtask] = message.state
        if len(pending.states) == (pending.expected + 1) // 2:
            crash_point("coordinator.acks.half")
        if len(pending.states) == pending.expected:
            crash_point("coordinator.acks.all")
            self._store(pending)

    def declined(self, message: CheckpointDeclined) -> None:
        """A task could not store its state."""
        if self._match(message.subtask, message.attempt, message.checkpoint_id) is not None:
            self._failed(message.reason)

    def _match(self, subtask: SubtaskId, attempt: int, checkpoint_id: int) -> PendingCheckpoint | None:
        pending = self._pending
        known = self._executions is not None and self._executions.find(subtask, attempt) is not None
        if pending is None or pending.checkpoint_id != checkpoint_id or pending.storing or not known:
            return None
        return pending

    # --- durable

    def _store(self, pending: PendingCheckpoint) -> None:
        pending.storing = True
        self._storing += 1
        manifest = self._job.make_manifest(pending)
        self._executor.submit(
            lambda: self._completed.publish(manifest),
            lambda _, error: self._job.post(lambda: self._stored(pending, manifest, error)),
        )

    def _stored(self, pending: PendingCheckpoint, manifest: Manifest, error: BaseException | None) -> None:
        self._storing -= 1
        if self._pending is not pending:
            return  # the attempt ended meanwhile; a published manifest is found by the next restore
        if isinstance(error, LeaderFenced):
            self._job.fail(error)
        elif isinstance(error, Exception):
            self._failed(f"its manifest could not be stored: {error}")
        elif error is not None:
            raise error
        else:
            self._complete(pending, manifest)

    def _complete(self, pending: PendingCheckpoint, manifest: Manifest) -> None:
        now_s = self._clock.monotonic_s()
        self._pending = None
        self._failures_in_a_row = 0
        self._shared_files = manifest.shared_files()
        self._allowed_s = now_s + self._config.min_pause.total_seconds()
        self.statistics.completed += 1
        self.statistics.last_completed_id = pending.checkpoint_id
        self.statistics.last_duration_s = now_s - pending.started_s
        self.statistics.last_state_bytes = manifest.state_bytes
        crash_point("checkpoint.durable.before_notify")
        self.notify(CheckpointCompleted(pending.checkpoint_id, last=pending.purpose != "periodic"))
        self._drop_subsumed(pending.checkpoint_id)
        if pending.purpose == "final":
            crash_point("end.after_final_checkpoint")
        self._job.checkpoint_completed(manifest, pending.purpose)

    def notify(self, message: CheckpointCompleted | CheckpointAborted) -> None:
        """Tells all tasks of the attempt."""
        executions = list(self._executions or ())
        for number, execution in enumerate(executions):
            if number == len(executions) // 2 and number > 0:
                crash_point("checkpoint.notify.partial")
            self._job.send_to_task(execution.subtask, message)

    def _drop_subsumed(self, current: int) -> None:
        if self._dropping:
            return  # one at a time; the next completed checkpoint takes care of what this one leaves
        self._dropping = True

        def done(_: None, error: BaseException | None) -> None:
            self._dropping = False
            if isinstance(error, Exception):
                log.warning("an older checkpoint could not be deleted: %s", error)
            elif error is not None:
                raise error

        self._executor.submit(lambda: self._delete_below(current), done)

    def drop_subsumed_now(self) -> None:
        """Deletes what is beyond the number to keep, before the job ends."""
        try:
            self._delete_below(self.statistics.last_completed_id)
        except OSError as error:
            log.warning("an older checkpoint could not be deleted: %s", error)

    def _delete_below(self, current: int) -> None:
        self._completed.delete(self._completed.left_below(current))

    # --- failure

    def _failed(self, reason: str) -> None:
        pending, self._pending = self._pending, None
        assert pending is not None and self._executions is not None  # noqa: S101, PT018 - callers checked
        self.statistics.failed += 1
        self._failures_in_a_row += 1
        log.warning("checkpoint %d failed: %s", pending.checkpoint_id, reason)
        self._withdraw(pending)
        if self._failures_in_a_row > self._config.tolerable_failures:
            self._job.fail(CheckpointFailed(checkpoint_id=pending.checkpoint_id, reason=reason, tolerated=self._config.tolerable_failures))
        elif pending.purpose != "periodic":
            self._wanted = pending.purpose
            self._wanted_s = self._clock.monotonic_s() + TRY_AGAIN_S

    def _withdraw(self, pending: PendingCheckpoint) -> None:
        self.notify(CheckpointAborted(pending.checkpoint_id))
        self._executor.submit(lambda: self._completed.store.withdraw(pending.checkpoint_id), lambda _, error: None)
