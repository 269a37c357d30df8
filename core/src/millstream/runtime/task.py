"""One subtask: a mailbox, an input, a chain of operators.

The loop is: if there is mail, handle it; else take one batch. Records, timers, barriers and notifications therefore never interleave,
and nothing here needs a lock.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from millstream.checkpoint.manifest import read_state_file
from millstream.checkpoint.messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    EndSources,
    SavepointCompleted,
    TriggerCheckpoint,
)
from millstream.contracts.key_groups import KeyGroups
from millstream.contracts.state_backend import StateBackendContext
from millstream.errors import MillstreamError, StateNotEncodable, TaskFailed
from millstream.graph.execution_graph import ExecutionState, task_address
from millstream.ports import crash_point
from millstream.records import MIN_TIMESTAMP, Barrier, EndOfInput, RecordBatch, Watermark, WatermarkStatus
from millstream.runtime.chain import OperatorChain
from millstream.runtime.gate import InputGate
from millstream.runtime.log import logging_scope
from millstream.runtime.messages import JOB_MANAGER, CancelTask, FromReader, ReportedWatermark, StartProcessing, TaskStateChanged
from millstream.runtime.operators.base import OperatorContext
from millstream.runtime.operators.policy import Origin
from millstream.runtime.rest import Rest
from millstream.runtime.restored import RestoredState, StateReader
from millstream.runtime.snapshot import TaskSnapshot
from millstream.runtime.state_to_store import StateToStore
from millstream.runtime.stored_chunks import StoredChunks
from millstream.runtime.task_time import TaskTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.contracts.state_backend import KeyedTables
    from millstream.graph.job_graph import ChainedOperator
    from millstream.runtime.channel import ChannelReader
    from millstream.runtime.deployment import Ports, TaskDeployment
    from millstream.runtime.edge import EdgeWriter
    from millstream.runtime.metrics import MetricRegistry
    from millstream.runtime.savepoints import SavepointStores
    from millstream.runtime.state_to_store import OperatorToStore
    from millstream.runtime.stored_chunks import ChunkKey, StoredChunk

log = logging.getLogger(__name__)

SNAPSHOT_SLICE_S: Final = 0.002
"""Stretch of encoding between two batches."""

SNAPSHOT_SHARE: Final = 0.125
LONGEST_SNAPSHOT_SLICE_S: Final = 0.005
"""After a batch that took long the stretch may be longer: this share of the time since the last one, up to this limit. Else a checkpoint
takes as many batches as it has stretches, which are minutes where a user's function is slow."""


BATCHES_PER_TURN: Final = 4
"""Batches that a task takes in one turn while nothing else waits for it: what a turn costs is shared by so many."""


class Task:
    """A running subtask.

    Args:
        store: where its state goes at checkpoints.
        restored_store: where the state it restores comes from.
        savepoints: where its state goes at savepoints.
        inputs: its channels; none for a source.
        edges: the sending side of its output edges.
        wake: tells the driver that there is something to do; safe from any thread.
    """

    def __init__(
        self,
        deployment: TaskDeployment,
        ports: Ports,
        registry: MetricRegistry,
        store: CheckpointStore,
        restored_store: CheckpointStore,
        savepoints: SavepointStores,
        inputs: Sequence[ChannelReader],
        edges: Sequence[EdgeWriter],
        wake: Callable[[], None],
    ) -> None:
        self.deployment = deployment
        self.subtask = deployment.subtask_id
        self.address = task_address(self.subtask, deployment.attempt)
        self.state = ExecutionState.DEPLOYING
        self._ports = ports
        self._registry = registry
        self._store = store
        self._restored_store = restored_store
        self._savepoints = savepoints
        self._inputs = inputs
        self._edges = list(edges)
        self._wake = wake
        self._mail: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = count()
        self._snapshot: TaskSnapshot | None = None
        self._taken = Barrier(0, 0)  # that of the snapshot
        self._held: deque[Barrier] = deque()
        self._rest = Rest()
        self._stored_chunks = StoredChunks()
        self._last_slice_s = 0.0
        self._chain: OperatorChain | None = None
        self._gate: InputGate | None = None
        self._started = False
        self._drained = False
        self._triggered_id = 0
        self._origin = Origin()
        self._scope = logging_scope(deployment.job_name, deployment.vertex.name, deployment.subtask)
        self._time = TaskTime(ports.clock.monotonic_s)
        self._time.register(registry.group(deployment.job_name, deployment.vertex.name, str(deployment.subtask)))

    # --- life

    def start(self) -> None:
        """Restores state, opens the operators, reports RUNNING (or FAILED)."""
        self._ports.transport.bind(self.address, self._receive)
        with self._scope:
            try:
                reader = StateReader(
                    lambda ref: read_state_file(self._restored_store, self.deployment.restored_id or 0, ref),
                    self._restored_store.location(self.deployment.restored_id),
                )
                self._chain = OperatorChain(self.deployment.vertex.chain, self._edges, lambda described: self._context(described, reader))
                self._gate = InputGate(self._inputs, self._chain.head.watermark) if self._inputs else None
                self._chain.open()
            except Exception as error:  # noqa: BLE001 - reported; the restart strategy decides
                self._fail(error)
            else:
                self._report(ExecutionState.RUNNING)

    def _context(self, described: ChainedOperator, reader: StateReader) -> OperatorContext:
        deployment, ports = self.deployment, self._ports
        part = deployment.restore.get(described.uid)
        said, reported = count(1), count(1)
        restored = RestoredState(checkpoint_id=deployment.restored_id)
        if part is not None and deployment.restored_id is not None:
            restored = reader.load(part, deployment.restored_id)
            crash_point("task.restore.mid")
        restored.lane_count = max(restored.lane_count, deployment.lanes)
        return OperatorContext(
            job_name=deployment.job_name,
            run_id=deployment.run_id,
            name=described.name,
            uid=described.uid,
            subtask=deployment.subtask,
            parallelism=deployment.vertex.parallelism,
            max_parallelism=described.max_parallelism,
            attempt=deployment.attempt,
            batch_size=deployment.options.batch_size,
            watermark_interval_s=deployment.options.watermark_interval.total_seconds(),
            clock=ports.clock,
            random=ports.random.fork(f"{described.uid}/{deployment.subtask}/{deployment.attempt}"),
            storage=ports.storage,
            executor=ports.executor,
            metrics=self._registry.group(deployment.job_name, described.name, str(deployment.subtask)),
            wake=self._wake,
            post=self.post,
            schedule=self._schedule if described.sink is not None else self._rest.held_back(self._schedule),
            open_tables=lambda on_swap: self._open_tables(described, on_swap),
            send_to_coordinator=lambda message: self._send(FromReader(described.uid, self.subtask, deployment.attempt, message, next(said))),  # type: ignore[arg-type]
            report_watermark=lambda watermark: self._send(
                ReportedWatermark(described.uid, self.subtask, deployment.attempt, watermark, next(reported))
            ),
            restored=restored,
            origin=self._origin,
            check_leadership=self._check_leadership,
            rewound_from=deployment.rewound_from,
            checkpointing=deployment.checkpointing,
            strict_state=deployment.strict_state,
            allow_non_restored_state=deployment.allow_non_restored_state,
            source=described.source,
            sink=described.sink,
        )

    def _check_leadership(self) -> None:
        if self.deployment.leadership is not None:
            self.deployment.leadership.check(self._store)

    def _open_tables(self, described: ChainedOperator, on_swap: Callable[[], None]) -> KeyedTables:
        return self.deployment.state_backend.open(
            StateBackendContext(
                operator_uid=described.uid,
                subtask=self.deployment.subtask,
                max_parallelism=described.max_parallelism,
                key_group_of=KeyGroups(described.max_parallelism),
                clock=self._ports.clock,
                on_swap=on_swap,
            )
        )

    def _report(self, state: ExecutionState, error: MillstreamError | None = None, accumulators: dict[str, Any] | None = None) -> None:
        self.state = state
        self._send(TaskStateChanged(self.subtask, self.deployment.attempt, state, error, accumulators or {}))

    def _send(self, message: object) -> None:
        self._ports.transport.send(self.address, JOB_MANAGER, message)

    def _fail(self, error: Exception) -> None:
        if self.is_over():
            return
        self._close()
        if not isinstance(error, MillstreamError):
            error = TaskFailed.of(error, task=self.deployment.vertex.name, subtask=self.deployment.subtask, job=self.deployment.job_name)
        self._report(ExecutionState.FAILED, error)

    def _close(self) -> None:
        self._ports.transport.unbind(self.address)
        self._mail.clear()
        self._timers.clear()
        if self._snapshot is not None:
            self._snapshot.abandon()
            self._snapshot = None
        if self._chain is not None:
            for error in self._chain.close():
                log.warning("closing %s: %s", self.deployment.vertex.name, error)

    def is_over(self) -> bool:
        """Whether the attempt has ended, one way or another."""
        return self.state in (ExecutionState.FINISHED, ExecutionState.CANCELED, ExecutionState.FAILED)

    def cancel(self) -> None:
        """Ends the task now; nothing is committed."""
        if not self.is_over():
            with self._scope:
                self._close()
            self._report(ExecutionState.CANCELED)

    # --- mail

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` between two batches. Safe from any thread."""
        self._mail.append(action)
        self._wake()

    def _receive(self, message: object) -> None:
        self.post(lambda: self._handle(message))

    def _schedule(self, due_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (due_s, next(self._timer_numbers), action))

    def _handle(self, message: object) -> None:
        if isinstance(message, TriggerCheckpoint):
            self._trigger(message)
        elif isinstance(message, CheckpointCompleted):
            self._completed(message)
        elif isinstance(message, CheckpointAborted):
            self._aborted(message.checkpoint_id)
        elif isinstance(message, SavepointCompleted):
            self._savepoints.completed(message.checkpoint_id)
        elif isinstance(message, EndSources):
            self._drained = True
        elif isinstance(message, StartProcessing):
            self._started = True
        elif isinstance(message, CancelTask):
            self.cancel()
        elif self._chain is not None and self._chain.source is not None:
            self._chain.source.receive(message)

    # --- the loop

    def run_once(self) -> bool:
        """Handles one piece of mail, or one batch, or one slice of a snapshot. False when there was nothing to do."""
        if self._chain is None or self.is_over():
            return False
        begun_s = self._time.turn_begins()
        with self._scope:
            try:
                progressed = self._run_once(self._chain)
            except Exception as error:  # noqa: BLE001 - reported; the restart strategy decides
                self._fail(error)
                progressed = True
        if progressed and not self.is_over():
            self._time.worked(begun_s)
        else:
            self._time.waits(backpressured=not self.is_over() and not self._has_room())
        return progressed

    def _run_once(self, chain: OperatorChain) -> bool:
        if self._mail:
            self._mail.popleft()()
            return True
        if not self._started:
            return False
        if not self._held and self._timer_is_due():
            heapq.heappop(self._timers)[2]()
            return True
        progressed = self._advance_snapshot()
        if self._held:
            if self._snapshot is None:
                self._checkpoint(self._held.popleft())
            return True
        for _ in range(BATCHES_PER_TURN):
            if not self._process_input(chain):
                break
            progressed = True
            if self._mail or self._snapshot is not None or self._held or self._timer_is_due():
                break
        return progressed

    def _timer_is_due(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self._ports.clock.monotonic_s()

    def _process_input(self, chain: OperatorChain) -> bool:
        if not self._has_room():
            chain.held_back()
            return False
        source = chain.source
        if source is None:
            assert self._gate is not None  # noqa: S101 - a task without a source has inputs
            entry = self._gate.poll()
            if entry is None:
                if self._gate.is_blocked():
                    chain.held_back()
                return False
            self._process_element(chain, self._gate, *entry)
            return True
        if self._rest.begun or self.state is not ExecutionState.RUNNING:
            return False
        if self._drained:
            source.ended = True
        elif source.poll():
            return True
        if not source.ended:
            return False
        crash_point("end.after_last_record")
        self._end_input(chain)
        return True

    def _has_room(self) -> bool:
        return all(edge.has_room() for edge in self._edges)

    def _process_element(self, chain: OperatorChain, gate: InputGate, channel: int, element: Any) -> None:
        kind = element.__class__
        if kind is RecordBatch:
            chain.entries[0](element)
        elif kind is Watermark:
            risen = gate.valve.advance(channel, element.timestamp)
            if risen is not None:
                chain.process_watermark(risen)
        elif kind is Barrier:
            barrier = gate.barrier(channel, element)
            if barrier is not None:
                self._begin(barrier)
        elif kind is WatermarkStatus:
            self._status(chain, gate, channel, element.idle)
        elif kind is EndOfInput and gate.end(channel):
            self._end_input(chain)

    def _status(self, chain: OperatorChain, gate: InputGate, channel: int, idle: bool) -> None:
        before = gate.valve.idle
        if idle:
            risen = gate.valve.mark_idle(channel)
            if risen is not None:
                chain.process_watermark(risen)
        else:
            gate.valve.mark_active(channel)
        if gate.valve.idle != before:
            chain.head.process_status(gate.valve.idle)

    def _end_input(self, chain: OperatorChain) -> None:
        chain.end_input()
        for edge in self._edges:
            edge.broadcast(EndOfInput())
        self._report(ExecutionState.INPUT_ENDED)

    def next_due_s(self) -> float | None:
        """Monotonic time at which `run_once` is worth a call although nothing came in; None for never."""
        if self._chain is None or self.is_over() or not self._started:
            return None
        due = [self._timers[0][0]] if self._timers else []
        source = self._chain.source
        # Without room a source cannot be read, however much there is to read: whoever makes room wakes the driver.
        if source is not None and self.state is ExecutionState.RUNNING and not self._rest.begun and self._has_room():
            ready = source.ready_at_s()
            if ready is not None:
                due.append(ready)
        return min(due, default=None)

    # --- checkpoints

    def _trigger(self, message: TriggerCheckpoint) -> None:
        if message.checkpoint_id > self._triggered_id:  # else it comes late, or once more
            self._triggered_id = message.checkpoint_id
            self._begin(Barrier(message.checkpoint_id, message.timestamp_ms, message.aligned, message.last, message.savepoint))

    def _begin(self, barrier: Barrier) -> None:
        """All barriers of a checkpoint are there. One that finds the snapshot of another pending waits until that is encoded: tables can
        have one at a time. Nothing is processed meanwhile."""
        if self._snapshot is None and not self._held:
            self._checkpoint(barrier)
        else:
            self._held.append(barrier)

    def _checkpoint(self, barrier: Barrier) -> None:
        chain = self._chain
        assert chain is not None  # noqa: S101 - running
        self._wake_up(self._rest.behind(barrier.checkpoint_id if barrier.last else None))
        try:
            parts = chain.snapshot(barrier.checkpoint_id, lambda: self._broadcast(barrier))
        except StateNotEncodable as error:
            self._decline(barrier.checkpoint_id, str(error))
            return
        crash_point("task.snapshot.sync")
        self._snapshot, self._taken = TaskSnapshot(barrier.checkpoint_id, chain, parts), barrier
        self._last_slice_s = self._ports.clock.monotonic_s()

    def _wake_up(self, waiting: Sequence[Callable[[], None]]) -> None:
        for action in waiting:
            self._schedule(self._ports.clock.monotonic_s(), action)

    def _broadcast(self, barrier: Barrier) -> None:
        for edge in self._edges:
            edge.broadcast(barrier)

    def _advance_snapshot(self) -> bool:
        """One slice of encoding. True when there was one to do."""
        snapshot = self._snapshot
        if snapshot is None:
            return False
        monotonic_s = self._ports.clock.monotonic_s
        now_s = monotonic_s()
        slice_s = LONGEST_SNAPSHOT_SLICE_S if self._held else min(LONGEST_SNAPSHOT_SLICE_S, SNAPSHOT_SHARE * (now_s - self._last_slice_s))
        try:
            ready = snapshot.advance(now_s + max(SNAPSHOT_SLICE_S, slice_s))
            self._last_slice_s = monotonic_s()
            if not ready:
                return True
            operators = snapshot.finish()
        except MillstreamError as error:
            # State that cannot be encoded: the task goes on, the checkpoint does not.
            snapshot.abandon()
            self._snapshot = None
            self._decline(snapshot.checkpoint_id, str(error))
            return True
        self._snapshot = None
        self._store_state(self._taken, operators)
        return True

    def _store_state(self, barrier: Barrier, operators: Sequence[OperatorToStore]) -> None:
        number = barrier.checkpoint_id
        # A savepoint stands alone: it refers to no file of a checkpoint, and no checkpoint to one of its.
        reusable = None if barrier.savepoint else self._reusable(operators)
        to_store = StateToStore(number, self.subtask, self.deployment.attempt, operators, reusable)
        try:
            stores = [self._savepoints.of(number, barrier.savepoint)] if barrier.savepoint else []
        except Exception as error:  # noqa: BLE001 - a plugin's code
            self._decline(number, f"the savepoint cannot be written to {barrier.savepoint}: {error}")
            return
        if barrier.last or not barrier.savepoint:
            self._stored_chunks.begun(number)
            stores.append(self._store)
        self._ports.executor.submit(
            lambda: to_store.write(*stores),
            lambda stored, error: self.post(lambda: self._uploaded(number, stored, error)),
        )

    def _reusable(self, operators: Sequence[OperatorToStore]) -> Mapping[ChunkKey, StoredChunk] | None:
        """What may be referred to instead of being stored again; None where the state is to be stored whole."""
        least = self.deployment.incremental_from
        if least is None or sum(len(chunk.data) for operator in operators for chunk in operator.chunks) < least:
            return None
        return self._stored_chunks.reusable()

    def _uploaded(self, checkpoint_id: int, stored: Any, error: BaseException | None) -> None:
        if error is not None:
            if not isinstance(error, Exception):
                raise error
            self._remove_savepoint(self._savepoints.too_late(checkpoint_id))
            self._decline(checkpoint_id, f"state of {self.deployment.vertex.name!r} could not be stored: {error}")
            return
        crash_point("task.snapshot.uploaded")
        self._stored_chunks.stored(checkpoint_id, stored.chunks)
        self._remove_savepoint(self._savepoints.too_late(checkpoint_id))
        self._send(CheckpointAcknowledged(self.subtask, self.deployment.attempt, checkpoint_id, stored.state))
        crash_point("task.snapshot.acknowledged")

    def _decline(self, checkpoint_id: int, reason: str) -> None:
        self._stored_chunks.given_up(checkpoint_id)
        self._send(CheckpointDeclined(self.subtask, self.deployment.attempt, checkpoint_id, reason))

    def _completed(self, message: CheckpointCompleted) -> None:
        assert self._chain is not None  # noqa: S101 - running
        crash_point("task.notify.received")
        self._stored_chunks.completed(message.checkpoint_id)
        if message.last:
            self._savepoints.completed(message.checkpoint_id)
        for operator in self._chain.operators:
            operator.notify_complete(message.checkpoint_id)
        if message.last:
            self._finish_when_committed()

    def _finish_when_committed(self) -> None:
        chain = self._chain
        assert chain is not None  # noqa: S101 - running
        if not chain.all_committed():
            self._schedule(self._ports.clock.monotonic_s() + 0.05, self._finish_when_committed)
            return
        totals = chain.accumulators()
        self._close()
        self._report(ExecutionState.FINISHED, accumulators=totals)

    def _aborted(self, checkpoint_id: int) -> None:
        assert self._chain is not None  # noqa: S101 - running
        if self._gate is not None:
            self._gate.abort(checkpoint_id)
        if self._snapshot is not None and self._snapshot.checkpoint_id == checkpoint_id:
            self._snapshot.abandon()
            self._snapshot = None
        self._held = deque(barrier for barrier in self._held if barrier.checkpoint_id != checkpoint_id)
        self._stored_chunks.given_up(checkpoint_id)
        self._remove_savepoint(self._savepoints.given_up(checkpoint_id))
        self._wake_up(self._rest.ended(checkpoint_id))
        for operator in self._chain.operators:
            operator.notify_aborted(checkpoint_id)

    def _remove_savepoint(self, remove: Callable[[], None] | None) -> None:
        if remove is not None:
            self._ports.executor.submit(remove, lambda _, __: None)

    @property
    def watermark(self) -> int:
        """Event time of the task's last operator, for progress displays."""
        return self._chain.operators[-1].watermark if self._chain else MIN_TIMESTAMP
