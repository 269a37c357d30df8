"""Runs one operator by hand: records, watermarks and time go in, records come out, state goes to bytes and back."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import replace
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Self

import msgspec

from millstream.checkpoint.manifest import Manifest, OperatorInfo
from millstream.checkpoint.restore import RestorePlan
from millstream.contracts.key_groups import KeyGroups
from millstream.contracts.state_backend import StateBackendContext
from millstream.graph.execution_graph import SubtaskId
from millstream.graph.job_graph import ChainTarget
from millstream.plugins import default_manager
from millstream.ports import InlineExecutor, LocalStorage, ManualClock, SeededRandom
from millstream.records import RecordBatch
from millstream.runtime.chain import OperatorChain
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.operators.base import OperatorContext
from millstream.runtime.operators.policy import Origin
from millstream.runtime.restored import RestoredState, StateReader
from millstream.runtime.snapshot import TaskSnapshot
from millstream.runtime.state_to_store import StateToStore
from millstream.testing.single_operator import JOB, Outlet, Saved, SideOutlets, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.api.data_stream import DataStream
    from millstream.contracts.state_backend import KeyedTables
    from millstream.graph.job_graph import ChainedOperator
    from millstream.graph.stream_graph import OperatorSpec
    from millstream.plugins import PluginManager
    from millstream.ports import Storage
    from millstream.runtime.operators.base import Operator


class OperatorHarness:
    """One subtask of one operator, opened and ready. Time stands still unless `advance` moves it.

    Args:
        operator: adds the operator to a stream, or is its spec.
        subtask: 0-based index, of `parallelism`.
        restore: snapshots of all subtasks that ran before, at whatever parallelism.
        attempt: as a sink sees it.
        state_backend: name of the state backend.
        strict: fail when a function changes what it read from state without writing it back, as the setting `state.strict` does.
        clock: shared with others; an own one, at 0, when None.
        storage: for sinks that write files.
        plugins: what is installed; found by itself when None.

    Raises:
        InvalidArgument: `operator` adds no operator, or several.

    >>> harness = OperatorHarness(lambda stream: stream.key_by(lambda r: r[0]).sum(1))
    >>> harness.process(("a", 1)), harness.process(("a", 2)), harness.values
    (None, None, [('a', 1), ('a', 3)])
    """

    def __init__(
        self,
        operator: Callable[[DataStream[Any]], object] | OperatorSpec,
        *,
        subtask: int = 0,
        parallelism: int = 1,
        max_parallelism: int = 128,
        restore: Sequence[bytes] = (),
        attempt: int = 0,
        run_id: str = "0" * 32,
        state_backend: str = "memory",
        strict: bool = True,
        clock: ManualClock | None = None,
        storage: Storage | None = None,
        plugins: PluginManager | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self._plugins = plugins or default_manager()
        self._subtask = SubtaskId(1, subtask)
        self._parallelism = parallelism
        self._attempt = attempt
        self._run_id = run_id
        self._storage = storage or LocalStorage()
        self._state_backend = state_backend
        self._strict = strict
        self._registry = MetricRegistry(self.clock)
        self._mail: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = count()
        self._main, self._sides = Outlet(), SideOutlets()
        self._job = job_of(operator, parallelism, max_parallelism)
        self._described = replace(self._job.vertices[1].chain[0], targets=(ChainTarget(None, edge=0),))
        restored = self._restored([msgspec.msgpack.decode(item, type=Saved) for item in restore])
        self._chain = OperatorChain([self._described], [self._main], lambda described: self._context(described, restored))  # type: ignore[list-item]
        self._chain.head.output.side = self._sides
        self._chain.open()
        self._settle()

    @property
    def operator(self) -> Operator:
        """The operator itself."""
        return self._chain.head

    # --- in

    def process(self, value: Any, timestamp: int | None = None) -> None:
        """One record."""
        self.process_all([value], None if timestamp is None else [timestamp])

    def process_all(self, values: Sequence[Any], timestamps: Sequence[int] | None = None) -> None:
        """One batch."""
        self.operator.process_batch(RecordBatch(list(values), None if timestamps is None else list(timestamps)))
        self._settle()

    def watermark(self, timestamp: int) -> None:
        """Event time of the input."""
        self._chain.process_watermark(timestamp)
        self._settle()

    def idle(self, idle: bool = True) -> None:
        """The input goes idle, or wakes."""
        self.operator.process_status(idle)
        self._settle()

    def end_input(self) -> None:
        """No record follows."""
        self._chain.end_input()
        self._settle()

    def advance(self, seconds: float) -> None:
        """Lets processing time pass, and does what becomes due on the way, each at its time."""
        until_s = self.clock.monotonic_s() + seconds
        while self._timers and self._timers[0][0] <= until_s:
            due_s, _, action = heapq.heappop(self._timers)
            self.clock.advance(max(0.0, due_s - self.clock.monotonic_s()))
            action()
            self._settle()
        self.clock.advance(max(0.0, until_s - self.clock.monotonic_s()))

    def _settle(self) -> None:
        while self._mail:
            self._mail.popleft()()
        self.operator.check_state()

    # --- out

    @property
    def values(self) -> list[Any]:
        """Records of the main output so far."""
        return [value for value, _ in self._main.records]

    @property
    def records(self) -> list[tuple[Any, int | None]]:
        """The same with their timestamps."""
        return list(self._main.records)

    @property
    def watermarks(self) -> list[int]:
        """Watermarks emitted so far."""
        return list(self._main.watermarks)

    @property
    def statuses(self) -> list[bool]:
        """Changes of idleness emitted so far."""
        return list(self._main.statuses)

    def side(self, tag: Any) -> list[Any]:
        """Records of a side output so far, by OutputTag or its id."""
        outlet = self._sides.outlets.get(getattr(tag, "tag_id", tag))
        return [value for value, _ in outlet.records] if outlet else []

    def take(self) -> list[Any]:
        """Records of the main output since the last call; they are forgotten."""
        values = self.values
        self._main.records.clear()
        return values

    def counts(self) -> dict[str, int]:
        """Counters of the operator by name."""
        prefix = f"{self._described.name}."
        return {name.removeprefix(prefix): number for name, number in self._registry.counts(JOB).items()}

    # --- checkpoints

    def snapshot(self, checkpoint_id: int = 1) -> bytes:
        """Takes a checkpoint. What it returns goes into `restore=` of other harnesses."""
        snapshot = TaskSnapshot(checkpoint_id, self._chain, self._chain.snapshot(checkpoint_id, lambda: None))
        snapshot.advance(inf)
        task, parts = StateToStore(checkpoint_id, self._subtask, self._attempt, snapshot.finish()).lay_out()
        described = self._described
        info = OperatorInfo(described.uid, described.name, self._parallelism, described.max_parallelism, described.spec.keeps_state)
        return msgspec.msgpack.encode(Saved(checkpoint_id, info, task, b"".join(parts)))

    def complete(self, checkpoint_id: int) -> None:
        """The checkpoint is durable."""
        self.operator.notify_complete(checkpoint_id)
        self._settle()

    def abort(self, checkpoint_id: int) -> None:
        """The checkpoint was given up."""
        self.operator.notify_aborted(checkpoint_id)
        self._settle()

    def _restored(self, saved: list[Saved]) -> RestoredState:
        if not saved:
            return RestoredState()
        checkpoint_id = max(item.checkpoint_id for item in saved)
        manifest = Manifest(
            job_name=JOB,
            run_id=self._run_id,
            checkpoint_id=checkpoint_id,
            kind="checkpoint",
            triggered_ms=0,
            completed_ms=0,
            attempt=self._attempt,
            millstream="",
            python="",
            operators=[saved[0].operator],
            tasks=[item.task for item in saved],
        )
        files = {item.task.file: item.data for item in saved if item.task.file is not None}
        plan = RestorePlan(manifest, "the snapshots")
        part = plan.for_operator(self._described, self._subtask.subtask, self._parallelism)
        return StateReader(files.__getitem__, "the snapshots").load(part, checkpoint_id)

    # --- life

    def close(self) -> None:
        """Closes the operator.

        Raises:
            Exception: what its `close` raised.
        """
        for error in self._chain.close():
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _context(self, described: ChainedOperator, restored: RestoredState) -> OperatorContext:
        return OperatorContext(
            job_name=JOB,
            run_id=self._run_id,
            name=described.name,
            uid=described.uid,
            subtask=self._subtask.subtask,
            parallelism=self._parallelism,
            max_parallelism=described.max_parallelism,
            attempt=self._attempt,
            batch_size=1000,
            watermark_interval_s=0.2,
            clock=self.clock,
            random=SeededRandom(f"harness/{self._subtask.subtask}/{self._attempt}"),
            storage=self._storage,
            executor=InlineExecutor(),
            metrics=self._registry.group(JOB, described.name, str(self._subtask.subtask)),
            wake=lambda: None,
            post=self._mail.append,
            schedule=lambda due_s, action: heapq.heappush(self._timers, (due_s, next(self._timer_numbers), action)),
            open_tables=lambda on_swap: self._open_tables(described, on_swap),
            send_to_coordinator=lambda message: None,
            report_watermark=lambda watermark: None,
            restored=restored,
            origin=Origin(),
            strict_state=self._strict,
            source=described.source,
            sink=described.sink,
        )

    def _open_tables(self, described: ChainedOperator, on_swap: Callable[[], None]) -> KeyedTables:
        backend = self._plugins.find("state_backend", self._state_backend).load()()
        tables: KeyedTables = backend.open(
            StateBackendContext(
                operator_uid=described.uid,
                subtask=self._subtask.subtask,
                max_parallelism=described.max_parallelism,
                key_group_of=KeyGroups(described.max_parallelism),
                clock=self.clock,
                on_swap=on_swap,
            )
        )
        return tables
