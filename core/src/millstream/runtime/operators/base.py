"""What every operator is, and where its output goes."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.errors import UserFunctionFailed
from millstream.records import MIN_TIMESTAMP, RecordBatch
from millstream.runtime.partition import copy_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.manifest import AheadRange
    from millstream.contracts.metrics import MetricGroup
    from millstream.contracts.sink import AnySink
    from millstream.contracts.source import Source
    from millstream.contracts.state_backend import KeyedTables, TableSnapshot
    from millstream.ports import Clock, Executor, Random, Storage
    from millstream.runtime.operators.loops import Loop
    from millstream.runtime.operators.policy import Origin
    from millstream.runtime.restored import RestoredState
    from millstream.state.operator import StoredItems


class Output:
    """Where one operator's records go: chained operators, edges, side outputs.

    The three callables are bound once to what is behind them, so that a chain costs one call a batch.
    """

    __slots__ = ("emit", "emit_status", "emit_watermark", "side")

    def __init__(self) -> None:
        self.emit: Callable[[RecordBatch[Any]], None] = _nowhere
        self.emit_watermark: Callable[[int], None] = _nowhere
        self.emit_status: Callable[[bool], None] = _nowhere
        self.side: dict[str, Callable[[RecordBatch[Any]], None]] = {}


def _nowhere(_: object) -> None:
    """The output of an operator that nobody reads."""


def fan_out_batches(targets: list[Callable[[RecordBatch[Any]], None]]) -> Callable[[RecordBatch[Any]], None]:
    """One callable that gives each target its own lists."""
    if not targets:
        return _nowhere
    if len(targets) == 1:
        return targets[0]
    *others, last = targets

    def emit(batch: RecordBatch[Any]) -> None:
        for target in others:
            target(copy_batch(batch))
        last(batch)

    return emit


def fan_out_events(targets: list[Callable[[Any], None]]) -> Callable[[Any], None]:
    """One callable that tells every target."""
    if len(targets) == 1:
        return targets[0]

    def emit(event: Any) -> None:
        for target in targets:
            target(event)

    return emit


@dataclass
class OperatorContext:
    """What the task gives an operator.

    Attributes:
        wake: says, from any thread, that the task should look at the operator again.
        post: runs a function on the mailbox thread.
        schedule: runs a function on the mailbox thread at a monotonic time.
        open_tables: makes keyed tables with the job's backend; the argument is called when tables were swapped.
        send_to_coordinator: a message to the source's enumerator.
        report_watermark: tells the JobManager how far the event time of a source has come.
        restored: what a checkpoint left for this operator.
        origin: where the batch at hand was read; one object for all operators of the task.
        check_leadership: raises LeaderFenced when another process has taken over the job.
        rewound_from: run id of the checkpoint, when it is rewound into a new run; else None.
        checkpointing: whether barriers come at an interval.
        allow_non_restored_state: state of the checkpoint that nobody declares is left behind.
        strict_state: look for functions that change what they read from state without writing it back.
    """

    job_name: str
    run_id: str
    name: str
    uid: str
    subtask: int
    parallelism: int
    max_parallelism: int
    attempt: int
    batch_size: int
    watermark_interval_s: float
    clock: Clock
    random: Random
    storage: Storage
    executor: Executor
    metrics: MetricGroup
    wake: Callable[[], None]
    post: Callable[[Callable[[], None]], None]
    schedule: Callable[[float, Callable[[], None]], None]
    open_tables: Callable[[Callable[[], None]], KeyedTables]
    send_to_coordinator: Callable[[object], None]
    report_watermark: Callable[[int], None]
    restored: RestoredState
    origin: Origin
    check_leadership: Callable[[], None] = lambda: None
    rewound_from: str | None = None
    checkpointing: bool = True
    strict_state: bool = False
    allow_non_restored_state: bool = False
    source: Source[Any] | None = None
    sink: AnySink | None = None
    accumulators: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Names the operator in messages."""
        return f"{self.name} (uid {self.uid}), subtask {self.subtask} of {self.parallelism}, job {self.job_name}"


@dataclass
class OperatorSnapshot:
    """What an operator gives to a checkpoint at the barrier.

    Attributes:
        tables: keyed state on its way to bytes; None when there is none.
        lists: what a checkpoint deals out by item, by name.
        lanes: items of lane lists, by name, each with its lane.
        ahead: key groups whose event time had come further than the operator's.
    """

    tables: TableSnapshot | None = None
    lists: dict[str, StoredItems] = field(default_factory=dict)
    lanes: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    ahead: list[AheadRange] = field(default_factory=list)


class Operator(ABC):
    """One operator of one subtask and attempt. Called on the mailbox thread only.

    Order of calls: `setup`, `open`, then batches, watermarks, barriers (`prepare_snapshot`, `snapshot`) and notifications in any order,
    `end_input` once when the input is bounded, `close` always.
    """

    context: OperatorContext
    output: Output

    loop: ClassVar[Loop | None] = None
    """Its work on one record as source, when it can be part of a loop with its neighbours."""

    def setup(self, context: OperatorContext, output: Output) -> None:
        """Takes over the surroundings."""
        self.context = context
        self.output = output
        self.watermark = MIN_TIMESTAMP if context.restored.watermark is None else context.restored.watermark
        self._records_in = context.metrics.counter("numRecordsIn")
        self._records_out = context.metrics.counter("numRecordsOut")
        context.metrics.gauge("currentInputWatermark", lambda: self.watermark)

    def open(self) -> None:
        """Restores state and opens functions; no record was seen yet."""

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        """Takes a batch, which is not empty."""
        raise NotImplementedError

    def process_watermark(self, timestamp: int) -> None:
        """Event time has come to `timestamp`. What that causes is emitted before the watermark.

        It never goes back: an operator that was restored may know better than a new one in front of it in the chain.
        """
        if timestamp <= self.watermark:
            return
        self.watermark = timestamp
        self.output.emit_watermark(timestamp)

    def process_status(self, idle: bool) -> None:
        """The input went idle or woke."""
        self.output.emit_status(idle)

    def held_back(self) -> None:
        """The task could not read, because its consumers have no room or a barrier is awaited: silence proves nothing."""

    def end_input(self) -> None:
        """No record follows. May emit."""

    def prepare_snapshot(self, checkpoint_id: int) -> None:
        """A barrier is about to pass. May emit."""

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        """The synchronous part of a snapshot."""
        return OperatorSnapshot()

    def notify_complete(self, checkpoint_id: int) -> None:
        """The checkpoint, and every older one, is durable."""

    def notify_aborted(self, checkpoint_id: int) -> None:
        """The checkpoint was given up."""

    def check_state(self) -> None:
        """In strict mode, looks for changes of state that were not written back."""

    def close(self) -> None:
        """Releases everything; must not emit."""

    # --- in a loop with other operators

    def record_failed(self, function: object, error: Exception, value: Any) -> None:
        """A record on which `function` raised: returns when it is set aside, raises when the job has to fail."""
        raise error

    def count_records(self, taken: int, given: int) -> None:
        """So many came in and went out, without a batch of its own."""
        self._records_in.count += taken
        self._records_out.count += given

    # --- for subclasses

    def _emit(self, values: list[Any], timestamps: list[int] | None, highest: int | None = None) -> None:
        if values:
            self._records_out.count += len(values)
            self.output.emit(RecordBatch(values, timestamps, highest))

    def _failure(
        self, function: object, error: BaseException, value: object, position: str = "", kind: type[UserFunctionFailed] = UserFunctionFailed
    ) -> UserFunctionFailed:
        return kind.of(
            error,
            function=function,
            job=self.context.job_name,
            operator=self.context.name,
            uid=self.context.uid,
            subtask=self.context.subtask,
            value=value,
            position=position,
        )
