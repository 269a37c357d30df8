"""One per job: deploys it, lets its checkpoints be taken, starts it again when it fails, and says when it is over.

Everything happens on one thread, as mail: messages of tasks, timers, outcomes of work on the executor.
"""

from __future__ import annotations

import heapq
import logging
import platform
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from millstream.__about__ import __version__
from millstream.checkpoint.coordinator import CheckpointCoordinator
from millstream.checkpoint.manifest import Manifest, OperatorInfo
from millstream.checkpoint.messages import CheckpointAcknowledged, CheckpointCompleted, CheckpointDeclined, EndSources
from millstream.checkpoint.restore import RestorePlan
from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
from millstream.errors import CheckpointStorageFailed, DamagedCheckpoint, Fenced, MillstreamError, SavepointFailed, TaskManagerLost
from millstream.graph.execution_graph import Execution, ExecutionGraph, ExecutionState, SubtaskId
from millstream.plugins.notices import CheckpointCompleted as CheckpointNotice
from millstream.plugins.notices import JobFailed, JobStarted
from millstream.ports import crash_point
from millstream.runtime.clean_up import clean_up_run, forget_run
from millstream.runtime.deployment import Ports, TaskDeployment
from millstream.runtime.job_status import JobStatus
from millstream.runtime.messages import JOB_MANAGER, FromReader, ReportedWatermark, StartProcessing, TaskStateChanged
from millstream.runtime.regions import PipelinedRegions
from millstream.runtime.resource_manager import ResourceManager
from millstream.runtime.restart import make_restart_strategy
from millstream.runtime.source_coordinator import SourceCoordinator
from millstream.runtime.stopping import Stop
from millstream.runtime.watermark_aligner import WatermarkAligner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.checkpoint.pending import PendingCheckpoint, Purpose
    from millstream.checkpoint.savepoint import Done
    from millstream.config import Settings
    from millstream.contracts.cluster_backend import ClusterBackend
    from millstream.contracts.context import Accumulator
    from millstream.contracts.state_backend import StateBackend
    from millstream.graph.job_graph import JobGraph
    from millstream.runtime.savepoints import Savepoints

log = logging.getLogger(__name__)

NOTIFY_AGAIN_S = 1.0
"""A task that was told of the last checkpoint and does not end is told again after this time: the message may be lost."""


@dataclass(frozen=True)
class JobStart:
    """How a run begins.

    Attributes:
        run_id: the run.
        restored: the checkpoint to go on from; None for a fresh start.
        restored_from: what to call it in messages.
        first_attempt: number of the first attempt; higher than any used in the run before.
        elsewhere: whether the checkpoint is not among the job's own.
        lanes: the most subtasks that a sink has had in the run so far.
    """

    run_id: str
    restored: Manifest | None = None
    restored_from: str = ""
    first_attempt: int = 0
    elsewhere: bool = False
    lanes: int = 0


@dataclass
class _Attempt:
    """What belongs to one attempt of the job."""

    executions: ExecutionGraph
    aligner: WatermarkAligner
    sources: dict[str, SourceCoordinator] = field(default_factory=dict)
    restored: Manifest | None = None
    started: bool = False
    starting: list[frozenset[SubtaskId]] = field(default_factory=list)  # parts that do not process yet, because not all of them run
    last_checkpoint: CheckpointCompleted | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a subtask of the current attempt."""

    attempt: int
    state: ExecutionState
    task_manager: str


class JobManager:
    """The job's coordinator.

    Args:
        job: what to run.
        settings: how.
        ports: the outside world.
        completed: the job's checkpoints, whose leadership is taken.
        cluster: where tasks run.
        state_backend: where tasks keep keyed state.
        start: fresh or from a checkpoint.
        notice: tells plugins what happens.
        wake: tells whoever drives this object that there is mail; safe from any thread.
        savepoints: where they go.

    Attributes:
        last_savepoint: where the last savepoint of this run is; None while there is none.
    """

    def __init__(
        self,
        job: JobGraph,
        settings: Settings,
        ports: Ports,
        completed: CompletedCheckpoints,
        cluster: ClusterBackend,
        state_backend: StateBackend,
        start: JobStart,
        notice: Callable[[Any], None],
        wake: Callable[[], None],
        savepoints: Savepoints,
    ) -> None:
        self.job = job
        self.run_id = start.run_id
        self.status = JobStatus.CREATED
        self.error: BaseException | None = None
        self.restarts = 0
        self.accumulators: dict[str, Any] = {}
        self.last_checkpoint_id: int | None = start.restored.checkpoint_id if start.restored else None
        self.last_savepoint: str | None = None
        self._settings = settings
        self._ports = ports
        self._savepoints = savepoints
        self._completed = completed
        self._cluster = cluster
        self._resources = ResourceManager(cluster)
        self._regions = PipelinedRegions(job)
        self._state_backend = state_backend
        self._start = start
        self._notice = notice
        self._wake = wake
        self._mail: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = count()
        self._attempt: _Attempt | None = None
        self._next_attempt = start.first_attempt
        self._stopping = False
        self._has_run = start.restored is not None
        self._stop: Stop | None = None
        # Who ran at a higher parallelism may have left work of lanes that no checkpoint knows.
        self._lanes = max([start.lanes, *(vertex.parallelism for vertex, operator in job.operators() if operator.sink is not None)])
        # Checkpoints above this id belong to this run; what is below was there before, here or where the run was resumed from. Sinks know
        # by its id what they have committed.
        self._inherited_id = max(completed.store.highest_id(), start.restored.checkpoint_id if start.restored else 0)
        self.coordinator = CheckpointCoordinator(
            settings.checkpoint, self, completed, ports.clock, ports.executor, first_id=self._inherited_id + 1, job_name=job.job_name
        )
        self._strategy = make_restart_strategy(
            settings.restart, checkpointing=settings.checkpoint.interval is not None, random=ports.random.fork("restart")
        )
        cluster.on_failure(lambda task_manager, reason: self.post(lambda: self._task_manager_lost(task_manager, reason)))
        ports.transport.bind(JOB_MANAGER, self._receive)

    # --- driven from outside

    def run_once(self) -> bool:
        """Handles one piece of mail, or what is due. False when there was nothing to do."""
        if self.status.is_final:
            return False
        try:
            return self._run_once()
        except Exception as error:  # noqa: BLE001 - the store or a connector failed under the JobManager itself
            self._fail_for_good(error)
            return True

    def _run_once(self) -> bool:
        if self._mail:
            self._mail.popleft()()
            return True
        now_s = self._ports.clock.monotonic_s()
        due_s = self.coordinator.next_due_s()
        if due_s is not None and due_s <= now_s:
            self.coordinator.run_due()
            return True
        if self._timers and self._timers[0][0] <= now_s:
            heapq.heappop(self._timers)[2]()
            return True
        return False

    def next_due_s(self) -> float | None:
        """Monotonic time at which `run_once` has something to do although no mail came; None for never."""
        due = [self._timers[0][0]] if self._timers else []
        checkpoint_s = self.coordinator.next_due_s()
        if checkpoint_s is not None:
            due.append(checkpoint_s)
        return min(due, default=None)

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` on the JobManager's thread. Safe from any thread."""
        self._mail.append(action)
        self._wake()

    def repeat(self, every_s: float, action: Callable[[], None]) -> None:
        """Calls `action` on the JobManager's thread at an interval, as long as the job is not over."""

        def again() -> None:
            action()
            self._later(every_s, again)

        self._later(every_s, again)

    def wake_at(self, monotonic_s: float) -> None:
        """Makes the driver look again at that time, although nothing may be due."""
        heapq.heappush(self._timers, (monotonic_s, next(self._timer_numbers), lambda: None))

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self._ports.clock.monotonic_s() + delay_s, next(self._timer_numbers), action))

    # --- requests

    def start(self) -> None:
        """Begins the job."""
        self._deploy(self._start.restored, self._start.restored_from)

    def cancel(self) -> None:
        """Ends the job now. Its checkpoints are kept or not, as the retention says."""
        if self.status.is_final:
            return
        self._stop_attempt()
        self._end(JobStatus.CANCELED)
        if self._settings.checkpoint.retention == "delete_on_cancellation":
            self._clean_up()

    def savepoint(self, target: str | None, done: Done) -> None:
        """Takes a savepoint while the job runs on. On the JobManager's thread.

        Args:
            target: folder or URL below which it goes; None for the setting `checkpoint.savepoint_dir`.
            done: called once, on the JobManager's thread, with where the savepoint is, or with why there is none.
        """
        try:
            request = self._savepoints.request(target, self.job.job_name, self.run_id, lambda path, error: self._savepoint_done(done, path, error))
        except Exception as error:  # noqa: BLE001 - of the target that was given; the job runs on
            done(None, error)
            return
        if self.status is JobStatus.RUNNING and self._stop is None:
            self.coordinator.request_savepoint(request)
        else:
            reason = "it is being stopped" if self._stop is not None and not self.status.is_final else f"it is {self.status.value}"
            done(None, SavepointFailed(job_name=self.job.job_name, reason=reason, fix="Ask for it while the job runs."))

    def _savepoint_done(self, done: Done, path: str | None, error: Exception | None) -> None:
        self.last_savepoint = path or self.last_savepoint
        done(path, error)

    def stop(self, *, drain: bool = False, savepoint: str | bool = False, done: Done = lambda path, error: None) -> None:
        """Ends the job with one more checkpoint, behind which nothing is processed; it is kept. Without checkpoints: cancels.

        On the JobManager's thread.

        Args:
            drain: let event time end first, so that all windows and timers fire: the job has FINISHED then, and else is SUSPENDED.
            savepoint: take a savepoint as well, below this folder or URL; True for the setting `checkpoint.savepoint_dir`.
            done: called once, on the JobManager's thread, when the job has ended, with where the savepoint is (without one: where the last
                checkpoint is, if it was kept); or when it is known that it will not end so, with why.
        """
        stop = Stop(self.job.job_name, drain=drain, done=done)
        if self._stop is not None or self.status.is_final:
            stop.refuse("it is being stopped already" if self._stop is not None else f"it has ended: it is {self.status.value}")
            return
        request = None
        if savepoint is not False:
            target = None if savepoint is True else savepoint
            try:
                request = self._savepoints.request(target, self.job.job_name, self.run_id, self._savepoint_of_stop)
            except Exception as error:  # noqa: BLE001 - of the target that was given; the job runs on
                done(None, error)
                return
        at_once = request is None and not drain
        if self.status is not JobStatus.RUNNING and not at_once:
            stop.refuse(f"it is {self.status.value}")
            return
        if at_once and (self._settings.checkpoint.interval is None or self.status is not JobStatus.RUNNING):
            self.suspend()
            done(self.last_checkpoint(), None)
            return
        self._stop = stop
        if request is not None:
            self.coordinator.request_savepoint(request, with_last=True)
        if drain:
            self._end_sources(self._attempt)
        else:
            self.coordinator.request("stop")

    def _savepoint_of_stop(self, path: str | None, error: Exception | None) -> None:
        stop, attempt = self._stop, self._attempt
        if stop is None:
            return
        if path is not None:
            self.last_savepoint = stop.savepoint = path
            return
        self._stop = None
        stop.done(None, error)
        if stop.drain:  # all input has been ended, and every window has fired: only what the last checkpoint holds can be gone on with
            self.post(lambda: self._restart_drained(attempt))

    def _restart_drained(self, attempt: _Attempt | None) -> None:
        if attempt is not None and self._attempt is attempt:
            self._stop_attempt()
            self.status = JobStatus.RESTARTING
            self.restarts += 1
            self._restart()

    def _end_sources(self, attempt: _Attempt | None) -> None:
        """Tells the sources to read no more, and again until they have heard it."""
        if attempt is not None and self._attempt is attempt and self._stop is not None:
            running = [source for source in attempt.executions.sources() if source.state is not ExecutionState.INPUT_ENDED]
            for source in running:
                self.send_to_task(source.subtask, EndSources())
            if running:
                self._later(NOTIFY_AGAIN_S, lambda: self._end_sources(attempt))

    def suspend(self) -> None:
        """Ends the job now and keeps its checkpoints, so that it can be resumed."""
        if not self.status.is_final:
            self._stop_attempt()
            self._end(JobStatus.SUSPENDED)

    # --- deployment

    def _deploy(self, restored: Manifest | None, where: str) -> None:
        number = self._next_attempt
        self._next_attempt += 1
        self.status = JobStatus.RUNNING  # from here on a failure is one of the attempt
        try:
            with self._completed.storage_errors():
                self._record_attempt(number)
            aligner = WatermarkAligner(self.job, self.send_to_task, self._later)
            self._attempt = attempt = _Attempt(ExecutionGraph(self.job, number), aligner, restored=restored)
            attempt.starting.append(frozenset(execution.subtask for execution in attempt.executions))
            plan = RestorePlan(restored, where) if restored else None
            for vertex, operator in self.job.operators():
                if operator.source is not None:
                    state = restored.enumerators.get(operator.uid) if restored else None
                    attempt.sources[operator.uid] = SourceCoordinator(
                        operator.uid, operator.source, vertex.vertex_id, vertex.parallelism, state, self._ports, self.send_to_task, self._later
                    )
            self._resources.allocate(self.job)
            self.coordinator.start(attempt.executions)
            self._deploy_tasks(list(attempt.executions), restored, plan)
        except CheckpointStorageFailed as error:
            self._fail_now(error)
        except MillstreamError as error:
            # What cannot even be deployed would not be better for being tried again.
            if error.outage:
                self._fail_now(error)
            else:
                self._fail_for_good(error)
        except Exception as error:  # noqa: BLE001 - a connector's code, or a store that does not answer: the strategy decides
            self._fail_now(error)

    def _deploy_tasks(self, executions: Sequence[Execution], restored: Manifest | None, plan: RestorePlan | None) -> None:
        parallelisms = {vertex.vertex_id: vertex.parallelism for vertex in self.job.vertices}
        task_managers = self._resources.task_managers(self.job)
        for position, execution in enumerate(executions):
            if position == len(executions) // 2:
                crash_point("job.deploy.half")
            vertex = self.job.vertex(execution.subtask.vertex)
            index = execution.subtask.subtask
            deployment = TaskDeployment(
                job_name=self.job.job_name,
                run_id=self.run_id,
                vertex=vertex,
                subtask=index,
                attempt=execution.attempt,
                options=self._settings.execution,
                state_backend=self._state_backend,
                parallelisms=parallelisms,
                task_managers=task_managers,
                restore={o.uid: plan.for_operator(o, index, vertex.parallelism) for o in vertex.chain} if plan else {},
                restored_id=restored.checkpoint_id if restored else None,
                restored_elsewhere=self._start.elsewhere and restored is self._start.restored,
                rewound_from=restored.run_id if restored and restored.run_id != self.run_id else None,
                checkpointing=self._settings.checkpoint.interval is not None,
                incremental_from=self._settings.checkpoint.incremental_from if self._settings.checkpoint.incremental else None,
                strict_state=self._settings.state.strict,
                lanes=self._lanes,
                allow_non_restored_state=self._settings.job.allow_non_restored_state,
                leadership=self._completed.leadership,
            )
            execution.state = ExecutionState.DEPLOYING
            self._cluster.deploy(self._resources.slot_of(execution.subtask), deployment)

    def _began_at(self) -> int | None:
        restored = self._start.restored
        return restored.checkpoint_id if restored and restored.run_id != self.run_id else None

    def _began_from(self) -> str | None:
        return self._start.restored_from if self._start.elsewhere else None

    # --- messages

    def _receive(self, message: object) -> None:
        self.post(lambda: self._handle(message))

    def _handle(self, message: object) -> None:
        if isinstance(message, CheckpointAcknowledged):
            self.coordinator.acknowledged(message)
        elif isinstance(message, CheckpointDeclined):
            self.coordinator.declined(message)
        elif isinstance(message, TaskStateChanged):
            self._task_changed(message)
        elif isinstance(message, FromReader):
            self._from_reader(message)
        elif isinstance(message, ReportedWatermark):
            attempt = self._attempt
            if attempt is not None and attempt.executions.find(message.subtask, message.attempt) is not None:
                attempt.aligner.receive(message)

    def _from_reader(self, message: FromReader) -> None:
        attempt = self._attempt
        if attempt is not None and attempt.executions.find(message.subtask, message.attempt) is not None:
            try:
                attempt.sources[message.source_uid].receive(message)
            except Exception as error:  # noqa: BLE001 - a connector's code
                self._fail_now(error)

    def send_to_task(self, subtask: SubtaskId, message: object) -> None:
        """To the current attempt of a task."""
        attempt = self._attempt
        if attempt is not None:
            self._ports.transport.send(JOB_MANAGER, attempt.executions.current(subtask).address, message)

    def _task_changed(self, message: TaskStateChanged) -> None:
        attempt = self._attempt
        execution = attempt.executions.find(message.subtask, message.attempt) if attempt else None
        if attempt is None or execution is None or not execution.advance(message.state):
            return
        if message.state is ExecutionState.FAILED:
            self._fail_now(message.error or RuntimeError("a task failed without saying why"), [message.subtask])
        elif message.state is ExecutionState.RUNNING:
            self._start_processing(attempt)
        elif message.state is ExecutionState.INPUT_ENDED and attempt.executions.all_in(ExecutionState.INPUT_ENDED):
            self.coordinator.request("final")
        elif message.state is ExecutionState.FINISHED:
            self._merge_accumulators(message.accumulators)
            if attempt.executions.all_in(ExecutionState.FINISHED):
                self._finished(attempt)

    def _start_processing(self, attempt: _Attempt) -> None:
        executions = attempt.executions
        ready = [part for part in attempt.starting if all(executions.current(s).state is ExecutionState.RUNNING for s in part)]
        for part in ready:
            attempt.starting.remove(part)
            if not attempt.started:
                self._start_sources(attempt)
            for source, reader in _readers(attempt, part):
                source.reader_runs(reader)
            for subtask in sorted(part):
                self.send_to_task(subtask, StartProcessing())

    def _start_sources(self, attempt: _Attempt) -> None:
        attempt.started = self._has_run = True
        restored = attempt.restored.checkpoint_id if attempt.restored else None
        self._notice(JobStarted(job=self.job.job_name, run_id=self.run_id, attempt=attempt.executions.attempt + 1, restored_checkpoint=restored))
        try:
            for source in attempt.sources.values():
                source.start()
            attempt.aligner.start()
        except Exception as error:  # noqa: BLE001 - a connector's code
            self._fail_now(error)

    def _merge_accumulators(self, totals: dict[str, Accumulator[Any]]) -> None:
        for name, accumulator in totals.items():
            if name in self.accumulators:
                self.accumulators[name] = accumulator.combine(self.accumulators[name], accumulator.value)
            else:
                self.accumulators[name] = accumulator.value

    # --- the coordinator's view (CoordinatedJob)

    def snapshot_enumerators(self, checkpoint_id: int) -> dict[str, bytes]:
        """State of the split enumerators, by source uid."""
        assert self._attempt is not None  # noqa: S101 - checkpoints are taken of a running attempt
        return {uid: source.snapshot(checkpoint_id) for uid, source in self._attempt.sources.items()}

    def make_manifest(self, pending: PendingCheckpoint) -> Manifest:
        """The manifest of a checkpoint that is all there."""
        assert self._attempt is not None  # noqa: S101 - as above
        return Manifest(
            job_name=self.job.job_name,
            run_id=self.run_id,
            checkpoint_id=pending.checkpoint_id,
            kind="final" if pending.purpose == "final" else "checkpoint",
            triggered_ms=pending.triggered_ms,
            completed_ms=self._ports.clock.now_ms(),
            attempt=self._attempt.executions.attempt,
            millstream=__version__,
            python=platform.python_version(),
            operators=[OperatorInfo(o.uid, o.name, vertex.parallelism, o.max_parallelism, o.spec.keeps_state) for vertex, o in self.job.operators()],
            tasks=[pending.states[subtask] for subtask in sorted(pending.states)],
            enumerators=pending.enumerators,
            lanes=self._lanes,
        )

    def checkpoint_completed(self, manifest: Manifest, purpose: Purpose) -> None:
        """It is durable and in the store; the tasks were told."""
        self.last_checkpoint_id = manifest.checkpoint_id
        self._strategy.checkpoint_completed()
        for source in self._attempt.sources.values() if self._attempt else ():
            source.completed(manifest.checkpoint_id)
        duration_ms = manifest.completed_ms - manifest.triggered_ms
        self._notice(
            CheckpointNotice(
                job=self.job.job_name,
                run_id=self.run_id,
                checkpoint_id=manifest.checkpoint_id,
                path=self._completed.store.location(manifest.checkpoint_id),
                duration_ms=duration_ms,
                state_bytes=manifest.state_bytes,
            )
        )
        attempt = self._attempt
        if purpose != "periodic" and attempt is not None:
            attempt.last_checkpoint = CheckpointCompleted(manifest.checkpoint_id, last=True)
            self._later(NOTIFY_AGAIN_S, lambda: self._notify_again(attempt))
            self._stopping = purpose == "stop"

    def _notify_again(self, attempt: _Attempt) -> None:
        if self._attempt is attempt and attempt.last_checkpoint is not None and not self.status.is_final:
            for execution in attempt.executions:
                if execution.state is not ExecutionState.FINISHED:
                    self.send_to_task(execution.subtask, attempt.last_checkpoint)
            self._later(NOTIFY_AGAIN_S, lambda: self._notify_again(attempt))

    def fail(self, error: Exception) -> None:
        """The job has failed; the restart strategy decides."""
        self.post(lambda: self._fail_now(error))

    # --- failure and end

    def _task_manager_lost(self, task_manager: str, reason: str) -> None:
        # One that the attempt does not use was given back meanwhile: an older attempt ran there.
        lost = [subtask for subtask, where in self._resources.task_managers(self.job).items() if where == task_manager]
        if lost:
            self._fail_now(TaskManagerLost(task_manager=task_manager, job=self.job.job_name, reason=reason), lost)

    def _fail_now(self, error: BaseException, failed: Sequence[SubtaskId] = ()) -> None:
        """The strategy decides. `failed` are the tasks that it was; without them it is the whole attempt."""
        if self.status is not JobStatus.RUNNING:
            return
        if isinstance(error, MillstreamError) and self._is_permanent(error):
            self._fail_for_good(error)
            return
        attempt, part = self._attempt, self._to_restart(failed)
        if attempt is None or part is None:
            self._stop_attempt()
        else:
            self._stop_part(attempt, part)
        delay_s = self._strategy.delay_s(self._ports.clock.monotonic_s(), _likeness(error))
        if delay_s is None:
            self._fail_for_good(error)
            return
        self.error = error
        self.restarts += 1
        if attempt is None or part is None:
            self.status = JobStatus.RESTARTING
            log.warning("job %s failed and is restarted in %.1f s: %s", self.job.job_name, delay_s, error)
            self._later(delay_s, self._restart)
        else:
            log.warning("%d of %d tasks of job %s are restarted in %.1f s: %s", len(part), len(attempt.executions), self.job.job_name, delay_s, error)
            self._later(delay_s, lambda: self._restart_part(attempt, part))

    def _may_fence_again(self, error: MillstreamError) -> bool:
        # Who was replaced and does not know it yet may have started an attempt behind ours, and fenced it. It cannot do so once more.
        return isinstance(error, Fenced) and self._completed.replaced() is None

    def _restart(self) -> None:
        if self.status is not JobStatus.RESTARTING:
            return
        if self.coordinator.is_storing:
            self._later(0.01, self._restart)
            return
        try:
            with self._completed.storage_errors():
                restored, where = self._newest()
        except CheckpointStorageFailed as error:
            self.status = JobStatus.RUNNING  # one more attempt, which has failed at once: the strategy decides
            self._fail_now(error)
        except MillstreamError as error:
            self._fail_for_good(error)
        else:
            self._deploy(restored, where)

    def _newest(self) -> tuple[Manifest | None, str]:
        """What to go on from, and what to call it."""
        restored = self._completed.latest(after=self._inherited_id)
        if restored is not None:
            return restored, self._completed.store.location(restored.checkpoint_id)
        return self._start.restored, self._start.restored_from

    # --- restarting a part of the tasks

    def _is_permanent(self, error: MillstreamError) -> bool:
        if error.outage:  # a wrong address looks the same: nobody waits for it who has never reached the place
            return not self._has_run
        return error.permanent and not self._may_fence_again(error)

    def _to_restart(self, failed: Sequence[SubtaskId]) -> frozenset[SubtaskId] | None:
        """The tasks that go back to a checkpoint with those that failed; None when the whole attempt does."""
        attempt = self._attempt
        if attempt is None or not failed or not attempt.started or self._settings.restart.failover == "full":
            return None
        if attempt.last_checkpoint is not None or self.coordinator.takes_the_last or self._stop is not None:
            return None  # sources that do not read any more would have to begin again
        where = self._resources.task_managers(self.job)
        part = self._regions.around(failed, where.__getitem__ if self._cluster.kill_ends_task_manager else None)
        return None if len(part) == len(attempt.executions) else part

    def _stop_part(self, attempt: _Attempt, part: frozenset[SubtaskId]) -> None:
        self.coordinator.give_up("some tasks have failed")
        self._kill([attempt.executions.current(subtask) for subtask in part])
        self._next_attempt += 1
        attempt.executions.replace(part, self._next_attempt - 1)
        attempt.aligner.forget(part)
        # A part that fails while it starts may be another one than before: with it failed what its processes run for others.
        # What is left of that one runs already, or waits for the rest to run.
        apart = [other if other.isdisjoint(part) else other - part for other in attempt.starting]
        attempt.starting = [*filter(None, apart), part]

    def _restart_part(self, attempt: _Attempt, part: frozenset[SubtaskId]) -> None:
        if self._attempt is not attempt or not any(waiting is part for waiting in attempt.starting):
            return
        if self.coordinator.is_storing:
            self._later(0.01, lambda: self._restart_part(attempt, part))
            return
        executions = [attempt.executions.current(subtask) for subtask in sorted(part)]
        try:
            with self._completed.storage_errors():
                restored, where = self._newest()
                self._record_attempt(attempt.executions.attempt)
            plan = RestorePlan(restored, where) if restored else None
            for source, subtask in _readers(attempt, part):
                source.restart_reader(subtask, restored.checkpoint_id if restored else None)
            if self._cluster.kill_ends_task_manager:
                self._resources.replace(part)
            self._deploy_tasks(executions, restored, plan)
        except CheckpointStorageFailed as error:
            self._fail_now(error)
        except MillstreamError as error:
            self._fail_for_good(error)
        except Exception as error:  # noqa: BLE001 - a connector's code, or a store that does not answer: the strategy decides
            self._fail_now(error)

    def _record_attempt(self, number: int) -> None:
        inherited = self._inherited_id if self._start.elsewhere else 0
        self._completed.record_run(RunRecord(self.run_id, "running", number, self._began_at(), self._began_from(), inherited, self._lanes))

    def _kill(self, executions: Sequence[Execution]) -> None:
        doomed = [e for e in executions if e.state not in (ExecutionState.CREATED, ExecutionState.FINISHED)]
        self._cluster.kill_all([(self._resources.slot_of(e.subtask), e.address) for e in doomed])

    # --- end

    def _fail_for_good(self, error: BaseException) -> None:
        self._stop_attempt()
        if isinstance(error, DamagedCheckpoint):
            error = self._completed.replaced() or error  # what is missing was deleted by the new leader
        self.error = error
        self._end(JobStatus.FAILED)
        code = error.code if isinstance(error, MillstreamError) else type(error).__name__
        self._notice(
            JobFailed(job=self.job.job_name, run_id=self.run_id, error_code=code, message=str(error), last_checkpoint=self.last_checkpoint())
        )

    def _stop_attempt(self) -> None:
        self.coordinator.stop()
        stop, self._stop = self._stop, None
        if stop is not None:
            stop.refuse("it failed, or was ended in another way, meanwhile")
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        attempt.aligner.close()
        self._kill(list(attempt.executions))
        for source in attempt.sources.values():
            try:
                source.close()
            except Exception as error:  # noqa: BLE001 - a connector's code; the attempt is over anyway
                log.warning("closing the enumerator of %s: %s", source.uid, error)
        self._resources.release()

    def _finished(self, attempt: _Attempt) -> None:
        attempt.aligner.close()
        for source in attempt.sources.values():
            source.close()
        self.coordinator.stop()
        self._attempt = None
        self._resources.release()
        replaced = self._completed.replaced() if self._stopping or self._stop is not None else None
        if replaced is not None:  # the job runs on elsewhere: nobody may be told that it has stopped
            self._fail_for_good(replaced)
            return
        if self._stopping:
            self.coordinator.drop_subsumed_now()
            self._end(JobStatus.SUSPENDED)
            return
        self._clean_up()
        self._end(JobStatus.FINISHED)

    def _clean_up(self) -> None:
        """The run is over for good: its checkpoints go, unless they are to be kept."""
        record = RunRecord(self.run_id, "ended", self._next_attempt - 1)
        keep, storage = self._settings.checkpoint.keep_on_finish, self._ports.storage
        # What sinks keep of the run stays if there is a savepoint: it says whether they are ahead of that.
        forget = (lambda: None) if self.last_savepoint else lambda: forget_run(self.job, record.run_id, storage)
        clean_up_run(self._completed, record, forget, keep=keep)

    def _end(self, status: JobStatus) -> None:
        self.status = status
        self._timers.clear()
        self._ports.transport.unbind(JOB_MANAGER)
        self.coordinator.close()
        stop, self._stop = self._stop, None
        if stop is not None:
            stop.done(stop.savepoint or self.last_checkpoint(), None)

    def place_of(self, subtask: SubtaskId) -> Placed | None:
        """Where a subtask runs, and how it is; None while none is deployed."""
        attempt = self._attempt
        execution = attempt.executions.find(subtask, attempt.executions.attempt) if attempt else None
        if execution is None or execution.state is ExecutionState.CREATED:
            return None
        return Placed(execution.attempt, execution.state, self._resources.slot_of(subtask).task_manager)

    def last_checkpoint(self) -> str | None:
        """Where the newest checkpoint that was kept is."""
        try:
            published: Sequence[int] = self._completed.store.published()
        except OSError as error:
            # Asked for in messages about failures, which must not be lost because the storage has failed, too.
            log.warning("the checkpoints of job %s cannot be listed: %s", self.job.job_name, error)
            published = [self.last_checkpoint_id] if self.last_checkpoint_id is not None else []
        return self._completed.store.location(published[-1]) if published else None


def _readers(attempt: _Attempt, part: frozenset[SubtaskId]) -> list[tuple[SourceCoordinator, int]]:
    """The sources among these tasks, each with the coordinator of its source."""
    return [(source, s.subtask) for s in sorted(part) for source in attempt.sources.values() if source.vertex == s.vertex]


def _likeness(error: BaseException) -> str:
    return error.likeness() if isinstance(error, MillstreamError) else f"{type(error).__name__}: {error}"
