"""Decides when a checkpoint is taken, gathers the acknowledgements, makes it durable, and tells the tasks.

The order is the promise: all acknowledgements, then the manifest durable, then in the store, then the tasks are told. Lives on the
JobManager's thread; what blocks runs on the executor and comes back as mail.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from millstream.checkpoint.messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    SavepointCompleted,
    TriggerCheckpoint,
)
from millstream.checkpoint.pending import PendingCheckpoint, Purpose
from millstream.errors import CheckpointFailed, LeaderFenced, SavepointFailed
from millstream.graph.execution_graph import ExecutionGraph, ExecutionState, SubtaskId
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.manifest import Manifest
    from millstream.checkpoint.savepoint import SavepointPlace, SavepointRequest
    from millstream.checkpoint.store import CompletedCheckpoints
    from millstream.config import CheckpointConfig
    from millstream.ports import Clock, Executor

log = logging.getLogger(__name__)

__all__ = ["CheckpointCoordinator", "CheckpointStatistics", "CoordinatedJob", "PendingCheckpoint", "Purpose"]


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

_ENDED: Final = "the attempt of the job that it was taken of has ended"


@dataclass
class CheckpointStatistics:
    """Counts over the life of the JobManager. Savepoints have their own: none of the other figures is about them."""

    completed: int = 0
    failed: int = 0
    last_completed_id: int = 0
    last_duration_s: float = 0.0
    last_state_bytes: int = 0
    savepoints: int = 0


class CheckpointCoordinator:
    """One per job.

    At most `checkpoint.max_concurrent` checkpoints are under way. Savepoints are not counted, and wait neither for interval nor pause.
    The last checkpoint of a job waits until the savepoints under way are done; nothing begins while it is under way.

    Args:
        config: the job's options; without an interval only the last checkpoint of the input, and savepoints, are taken.
        job: the JobManager.
        completed: the store.
        first_id: the id of the next checkpoint; never one that was used before.
        job_name: for messages.
    """

    def __init__(
        self,
        config: CheckpointConfig,
        job: CoordinatedJob,
        completed: CompletedCheckpoints,
        clock: Clock,
        executor: Executor,
        first_id: int,
        job_name: str = "",
    ) -> None:
        self._config = config
        self._job = job
        self._job_name = job_name
        self._completed = completed
        self._clock = clock
        self._executor = executor
        self._next_id = first_id
        self._executions: ExecutionGraph | None = None
        self._pending: dict[int, PendingCheckpoint] = {}  # by id, ascending
        self._due_s: float | None = None
        self._allowed_s = 0.0
        self._failures_in_a_row = 0
        self._wanted: Purpose | None = None
        self._wanted_s = -inf
        self._wanted_savepoint: SavepointRequest | None = None  # to be taken together with the last checkpoint
        self._savepoints: deque[SavepointRequest] = deque()
        self._orphans: list[PendingCheckpoint] = []  # savepoints whose attempt ended while their manifest was on its way
        self._is_over = False  # the last checkpoint is completed; tasks may not have heard of it yet
        self._storing = 0
        self._dropping = False
        self._shared_files: frozenset[str] = frozenset()  # those of the newest completed checkpoint
        self.statistics = CheckpointStatistics()

    # --- life of an attempt

    def start(self, executions: ExecutionGraph) -> None:
        """Begins with an attempt of the job."""
        self._executions = executions
        self._is_over = False
        self._failures_in_a_row = 0
        interval = self._config.interval
        self._due_s = self._clock.monotonic_s() + interval.total_seconds() if interval else None

    @property
    def in_progress(self) -> int:
        """How many checkpoints are under way."""
        return len(self._pending)

    @property
    def is_storing(self) -> bool:
        """Whether a manifest is on its way to the store. Nothing may be restored meanwhile: it could become the newest just then."""
        return self._storing > 0

    def stop(self) -> None:
        """The attempt is over: what is pending is dropped. A manifest being written may still become durable; it is a whole one."""
        self._executions = None
        pending, self._pending = self._pending, {}
        self._wanted = None
        self._due_s = None
        for request in self._take_requests():
            request.answer(None, self._savepoint_failed(_ENDED))
        for one in pending.values():
            if one.place is None or one.request is None:
                continue
            if one.storing and not one.is_own:
                self._orphans.append(one)  # whole, if its manifest becomes durable
            else:
                one.request.answer(None, self._savepoint_failed(_ENDED))
                if not one.storing:
                    self._remove(one.place)

    def close(self) -> None:
        """The job is over: nobody who asked for something is left without an answer."""
        for one in self._orphans:
            if one.request is not None and one.place is not None:
                reason = f"the job ended while its manifest was being written: whether it was completed is to be seen at {one.place.location}"
                one.request.answer(None, self._savepoint_failed(reason))

    def _take_requests(self) -> list[SavepointRequest]:
        requests, self._savepoints = list(self._savepoints), deque()
        if self._wanted_savepoint is not None:
            requests.append(self._wanted_savepoint)
            self._wanted_savepoint = None
        return requests

    @property
    def takes_the_last(self) -> bool:
        """Whether a checkpoint is wanted or under way behind which nothing is processed."""
        return self._wanted is not None or any(pending.is_last for pending in self._pending.values())

    def give_up(self, reason: str) -> None:
        """Some tasks go back to an earlier checkpoint: what is under way cannot be completed. That is no failure of the checkpoints."""
        for pending in [pending for pending in self._pending.values() if not pending.storing]:
            log.info("%s is given up: %s", pending, reason)
            self._drop(pending, reason)

    def request(self, purpose: Purpose) -> None:
        """Asks for one more checkpoint, as soon as it is allowed."""
        self._wanted = purpose
        self._wanted_s = -inf  # at once, whatever the clock says

    def request_savepoint(self, request: SavepointRequest, *, with_last: bool = False) -> None:
        """Asks for a savepoint: as soon as all tasks run, or together with the job's last checkpoint.

        One that fails does not count as a failed checkpoint: who asked for it is told. One that was to come with a `stop` takes that along:
        the job runs on.
        """
        if with_last:
            self._wanted_savepoint = request
        else:
            self._savepoints.append(request)

    # --- time

    def next_due_s(self) -> float | None:
        """Monotonic time at which `run_due` has something to do; None if only a message can change that."""
        trigger = self._next_trigger()
        due_s = trigger[0] if trigger else None
        for pending in self._pending.values():
            if not pending.is_acknowledged:
                timeout_s = pending.started_s + self._config.timeout.total_seconds()
                due_s = timeout_s if due_s is None else min(due_s, timeout_s)
        return due_s

    def _next_trigger(self) -> tuple[float, Purpose] | None:
        """When something is to be triggered, and what; None if only a message can change that."""
        if self._is_over or (self._pending and any(pending.is_last for pending in self._pending.values())):
            return None
        own = sum(pending.is_own for pending in self._pending.values()) if self._pending else 0
        if self._savepoints:
            due_s, purpose = -inf, "savepoint"
        elif own >= self._config.max_concurrent:
            return None
        elif self._wanted:
            if own < len(self._pending):
                return None
            due_s, purpose = self._wanted_s, self._wanted
        elif self._due_s is not None:
            due_s, purpose = max(self._due_s, self._allowed_s), "periodic"
        else:
            return None
        # Whether all tasks run is asked only when it matters: this is called between any two batches.
        return (due_s, purpose) if due_s > self._clock.monotonic_s() or self._may_trigger() else None  # type: ignore[return-value]

    def run_due(self) -> None:
        """Triggers or times out what is due."""
        now_s = self._clock.monotonic_s()
        timeout_s = self._config.timeout.total_seconds()
        for pending in list(self._pending.values()):
            if not pending.is_acknowledged and pending.started_s + timeout_s <= now_s and pending.checkpoint_id in self._pending:
                self._failed(pending, f"not all tasks acknowledged within {timeout_s:g} s")
        trigger = self._next_trigger()
        if trigger is not None and trigger[0] <= now_s:
            self._trigger(trigger[1], now_s)

    def _may_trigger(self) -> bool:
        return self._executions is not None and self._executions.all_in(ExecutionState.RUNNING, ExecutionState.INPUT_ENDED)

    def _trigger(self, purpose: Purpose, now_s: float) -> None:
        assert self._executions is not None  # noqa: S101 - _may_trigger
        request = self._taken_for(purpose, now_s)
        checkpoint_id = self._next_id
        self._next_id += 1
        place = None
        if request is not None:
            try:
                place = request.make_place(checkpoint_id)
            except Exception as error:  # noqa: BLE001 - a plugin's code
                request.answer(None, error)
                self._want_the_end()
                return
        if purpose == "final":
            crash_point("end.before_final_checkpoint")
        try:
            enumerators = self._job.snapshot_enumerators(checkpoint_id)
        except Exception as error:  # noqa: BLE001 - a connector's code
            if request is not None:
                request.answer(None, error)
            self._job.fail(error)
            return
        now_ms = self._clock.now_ms()
        pending = PendingCheckpoint(checkpoint_id, purpose, now_ms, now_s, len(self._executions), enumerators, request=request, place=place)
        self._pending[checkpoint_id] = pending
        aligned = self._config.mode == "exactly_once"
        location = place.location if place else ""
        message = TriggerCheckpoint(checkpoint_id, now_ms, aligned, stop=purpose == "stop", last=pending.is_last, savepoint=location)
        sources = self._executions.sources()
        for number, source in enumerate(sources):
            if number == len(sources) // 2:
                crash_point("coordinator.trigger.sent_half")
            self._job.send_to_task(source.subtask, message)

    def _taken_for(self, purpose: Purpose, now_s: float) -> SavepointRequest | None:
        """Who asked for what is about to be triggered, if it is a savepoint."""
        if purpose == "savepoint":
            return self._savepoints.popleft()
        interval = self._config.interval
        # Counted from now: a trigger that had to wait is not followed by a burst.
        self._due_s = now_s + interval.total_seconds() if interval else None
        if purpose == "periodic":
            return None
        request, self._wanted_savepoint, self._wanted = self._wanted_savepoint, None, None
        return request

    # --- answers

    def acknowledged(self, message: CheckpointAcknowledged) -> None:
        """A task has stored its state."""
        pending = self._match(message.subtask, message.attempt, message.checkpoint_id)
        if pending is None:
            return
        unknown = {file.name for file in message.state.earlier} - self._shared_files
        if unknown:  # deleted, or about to be: only what the newest checkpoint refers to is kept for certain
            self._failed(pending, f"a task refers to {', '.join(sorted(unknown))}, which the newest completed checkpoint does not")
            return
        pending.states[message.subtask] = message.state
        if len(pending.states) == (pending.expected + 1) // 2:
            crash_point("coordinator.acks.half")
        if pending.is_acknowledged:
            crash_point("coordinator.acks.all")
            self._store_next()

    def declined(self, message: CheckpointDeclined) -> None:
        """A task could not store its state."""
        pending = self._match(message.subtask, message.attempt, message.checkpoint_id)
        if pending is not None:
            self._failed(pending, message.reason)

    def _match(self, subtask: SubtaskId, attempt: int, checkpoint_id: int) -> PendingCheckpoint | None:
        pending = self._pending.get(checkpoint_id)
        known = self._executions is not None and self._executions.find(subtask, attempt) is not None
        return pending if pending is not None and not pending.is_acknowledged and known else None

    # --- durable

    def _store_next(self) -> None:
        """Stores what is all there: of the job's own checkpoints one after the other, the oldest first.

        Otherwise one that a newer one subsumes could become durable after it, when files that it refers to are deleted.
        """
        own_is_storing = any(pending.storing and pending.is_own for pending in self._pending.values())
        for pending in list(self._pending.values()):
            if not pending.is_acknowledged or pending.storing or (pending.is_own and own_is_storing):
                continue
            own_is_storing = own_is_storing or pending.is_own
            self._store(pending)

    def _store(self, pending: PendingCheckpoint) -> None:
        pending.storing = True
        self._storing += pending.is_own
        manifest, place = self._job.make_manifest(pending), pending.place

        def publish() -> None:
            if place is not None:
                self._completed.publish_savepoint(msgspec.structs.replace(manifest, kind="savepoint"), place.store)
            if pending.is_own:
                self._completed.publish(manifest)

        self._executor.submit(publish, lambda _, error: self._job.post(lambda: self._stored(pending, manifest, error)))

    def _stored(self, pending: PendingCheckpoint, manifest: Manifest, error: BaseException | None) -> None:
        self._storing -= pending.is_own
        if self._pending.get(pending.checkpoint_id) is not pending:
            self._stored_too_late(pending, error)
        elif isinstance(error, LeaderFenced):
            if pending.request is not None:
                pending.request.answer(None, error)
            self._job.fail(error)
        elif isinstance(error, Exception):
            self._failed(pending, f"its manifest could not be stored: {error}")
        elif error is not None:
            raise error
        elif pending.is_own:
            self._complete(pending, manifest)
        else:
            self._complete_savepoint(pending)

    def _stored_too_late(self, pending: PendingCheckpoint, error: BaseException | None) -> None:
        """The attempt ended meanwhile. A published manifest of the job's own is found by the next restore; a savepoint is one."""
        if pending in self._orphans:
            self._orphans.remove(pending)
        if pending.place is None or pending.request is None:
            return
        if error is None and not pending.is_own:
            self.statistics.savepoints += 1
            pending.request.answer(pending.place.location, None)
            return
        pending.request.answer(None, self._savepoint_failed(str(error) if error else _ENDED))
        self._remove(pending.place)

    def _complete(self, pending: PendingCheckpoint, manifest: Manifest) -> None:
        now_s = self._clock.monotonic_s()
        for number in [number for number, other in self._pending.items() if number <= pending.checkpoint_id and other.is_own]:
            del self._pending[number]  # those before it are subsumed: that it is completed stands for them, too
        self._is_over = pending.is_last
        self._failures_in_a_row = 0
        self._shared_files = manifest.shared_files()
        self._allowed_s = now_s + self._config.min_pause.total_seconds()
        self.statistics.completed += 1
        self.statistics.last_completed_id = pending.checkpoint_id
        self.statistics.last_duration_s = now_s - pending.started_s
        self.statistics.last_state_bytes = manifest.state_bytes
        crash_point("checkpoint.durable.before_notify")
        self.notify(CheckpointCompleted(pending.checkpoint_id, last=pending.is_last))
        self._drop_subsumed(pending.checkpoint_id)
        if pending.purpose == "final":
            crash_point("end.after_final_checkpoint")
        self._refuse_what_lost_its_files()
        self._store_next()
        if pending.request is not None and pending.place is not None:
            self.statistics.savepoints += 1
            pending.request.answer(pending.place.location, None)
        self._job.checkpoint_completed(manifest, pending.purpose)

    def _refuse_what_lost_its_files(self) -> None:
        """Fails newer checkpoints that refer to what the one just completed does not, and that is deleted now. No task of ours does so."""
        for pending in list(self._pending.values()):
            lost = {file.name for state in pending.states.values() for file in state.earlier} - self._shared_files
            if lost and pending.checkpoint_id in self._pending:
                self._failed(pending, f"it refers to {', '.join(sorted(lost))}, which the checkpoint completed meanwhile does not")

    def _complete_savepoint(self, pending: PendingCheckpoint) -> None:
        assert pending.place is not None and pending.request is not None  # noqa: S101, PT018 - it is a savepoint
        del self._pending[pending.checkpoint_id]
        self.statistics.savepoints += 1
        log.info("savepoint %d is at %s", pending.checkpoint_id, pending.place.location)
        self.notify(SavepointCompleted(pending.checkpoint_id))
        pending.request.answer(pending.place.location, None)

    def notify(self, message: CheckpointCompleted | CheckpointAborted | SavepointCompleted) -> None:
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

    def _remove(self, place: SavepointPlace) -> None:
        """Deletes what was written of a savepoint that comes to nothing."""

        def done(_: None, error: BaseException | None) -> None:
            if isinstance(error, Exception):
                log.warning("what was written of a savepoint could not be deleted from %s: %s", place.location, error)
            elif error is not None:
                raise error

        self._executor.submit(place.remove, done)

    # --- failure

    def _savepoint_failed(self, reason: str) -> SavepointFailed:
        return SavepointFailed(job_name=self._job_name, reason=reason, fix="The job and its checkpoints are as they were; ask for it again.")

    def _failed(self, pending: PendingCheckpoint, reason: str) -> None:
        log.warning("%s failed: %s", pending, reason)
        self._drop(pending, reason)
        if pending.place is None:
            self.statistics.failed += 1
            self._failures_in_a_row += 1
            if self._failures_in_a_row > self._config.tolerable_failures:
                self._job.fail(CheckpointFailed(checkpoint_id=pending.checkpoint_id, reason=reason, tolerated=self._config.tolerable_failures))
            elif pending.is_last:
                self._want_again(pending.purpose)
        elif pending.is_last:
            self._want_the_end()
        self._store_next()

    def _want_the_end(self) -> None:
        """A savepoint came to nothing that was to be the job's last checkpoint: one without it is, if there is nothing left to process."""
        if self._executions is not None and self._executions.all_in(ExecutionState.INPUT_ENDED):
            self._want_again("final")

    def _want_again(self, purpose: Purpose) -> None:
        self._wanted = purpose
        self._wanted_s = self._clock.monotonic_s() + TRY_AGAIN_S

    def _drop(self, pending: PendingCheckpoint, reason: str) -> None:
        """Nothing of it is left, and whoever waits for it is told."""
        del self._pending[pending.checkpoint_id]
        self.notify(CheckpointAborted(pending.checkpoint_id))
        if pending.is_own:
            self._executor.submit(lambda: self._completed.store.withdraw(pending.checkpoint_id), lambda _, error: None)
        if pending.place is not None and pending.request is not None:
            self._remove(pending.place)
            pending.request.answer(None, self._savepoint_failed(reason))
