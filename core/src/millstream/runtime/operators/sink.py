"""Sinks: one operator for each of the three contracts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.checkpoint.commit import TwoPhaseCommitter
from millstream.checkpoint.write_ahead import WriteAheadLog
from millstream.contracts.sink import AnySink, Sink, SinkContext
from millstream.contracts.two_phase_commit import TwoPhaseCommitSink
from millstream.contracts.write_ahead import WriteAheadSink
from millstream.errors import MillstreamError, RecordRefused, SinkContractChanged, SinkFailed, shorten
from millstream.ports import crash_point
from millstream.runtime.operators.base import Operator, OperatorSnapshot
from millstream.runtime.operators.policy import ErrorPolicy
from millstream.state.serializers import serializer_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from millstream.contracts.on_error import OnError
    from millstream.contracts.sink import SinkWriter
    from millstream.contracts.two_phase_commit import TwoPhaseCommitWriter
    from millstream.contracts.write_ahead import WriteAheadLanes
    from millstream.records import RecordBatch
    from millstream.runtime.operators.base import OperatorContext, Output


class _Blame:
    """Turns what a connector raises into SinkFailed. One object for all `with` blocks of an operator: entered once a batch."""

    __slots__ = ("_context",)

    def __init__(self, context: OperatorContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, MillstreamError):
            context = self._context
            raise SinkFailed.of(error, sink=context.name, uid=context.uid, subtask=context.subtask, job=context.job_name) from error


class SinkOperator(Operator):
    """What the three have in common. `committed` tells the task when nothing is left to commit.

    Attributes:
        LANES: name of the lane list in checkpoints; a sink of another contract cannot take it over.
    """

    LANES: ClassVar[str] = ""

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error

    def setup(self, context: OperatorContext, output: Output) -> None:
        super().setup(context, output)
        self._policy = ErrorPolicy(self._on_error, context, output, "numRecordsRejected")
        self._blame = _Blame(context)
        lanes = max(context.parallelism, context.restored.lane_count)
        self._sink_context = SinkContext(
            job_name=context.job_name,
            run_id=context.run_id,
            sink_uid=context.uid,
            subtask=context.subtask,
            parallelism=context.parallelism,
            attempt=context.attempt,
            lane=context.subtask,
            owned_lanes=tuple(lane for lane in range(lanes) if lane % context.parallelism == context.subtask),
            clock=context.clock,
            random=context.random,
            storage=context.storage,
            executor=context.executor,
            metrics=context.metrics,
            reject=self._reject,
        )

    def _reject(self, value: object, error: Exception) -> None:
        """A record that cannot be written for its own fault: returns when it is set aside, raises when the job has to fail."""
        context, reason = self.context, f"{type(error).__name__}: {error}"
        if self._policy.fails:
            raise RecordRefused(
                error=reason,
                sink=context.name,
                uid=context.uid,
                subtask=context.subtask,
                job=context.job_name,
                record=shorten(value),
                position=context.origin.text(),
            ) from error
        self._policy.set_aside(value, reason)

    def _restored_lanes(self) -> list[tuple[int, bytes]]:
        """What the checkpoint left to be committed.

        Raises:
            SinkContractChanged: it was left by a sink of another contract, which alone could commit it.
        """
        lanes = self.context.restored.lanes
        for name, items in lanes.items():
            if items and name != self.LANES:
                raise SinkContractChanged(sink_uid=self.context.uid, stored=name, now=self.LANES or "plain")
        return lanes.get(self.LANES, [])

    def _blamed(self) -> _Blame:
        """Says of an error that it is the sink's: the operators in front, whose calls end here, would take it for a function's own."""
        return self._blame

    def committed(self) -> bool:
        """Whether everything of completed checkpoints is committed."""
        return True

    def _schedule(self, delay_s: float, action: Callable[[], None]) -> None:
        self.context.schedule(self.context.clock.monotonic_s() + delay_s, action)

    def _old_run(self) -> SinkContext | None:
        """The context of the run that is being rewound, None when nothing is."""
        old = self.context.rewound_from
        return replace(self._sink_context, run_id=old) if old else None


UNFLUSHED_S = 1.0
"""How long written records wait for a flush, at most, where no barriers come."""


class PlainSinkOperator(SinkOperator):
    """Writes at once, flushes at barriers. In a job without checkpoints also by itself: what a writer buffers would stay there, and what
    it cannot deliver would be told by nothing, for as long as no further record comes."""

    def __init__(self, sink: Sink[Any], on_error: OnError) -> None:
        super().__init__(on_error)
        self._sink = sink
        self._writer: SinkWriter[Any] | None = None
        self._flush_is_due = False

    def open(self) -> None:
        self._restored_lanes()
        with self._blamed():
            self._writer = self._sink.open(self._sink_context)

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        assert self._writer is not None  # noqa: S101 - opened
        self._records_in.count += len(batch.values)
        with self._blamed():
            self._writer.write(batch.values, batch.timestamps)
        crash_point("sink.write.mid_epoch")
        if not self.context.checkpointing and not self._flush_is_due:
            self._flush_is_due = True
            self._schedule(UNFLUSHED_S, self._flush_if_due)

    def prepare_snapshot(self, checkpoint_id: int) -> None:
        self._flush()

    def end_input(self) -> None:
        self._flush()

    def _flush_if_due(self) -> None:
        if self._flush_is_due:
            self._flush()

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._writer is not None:
            with self._blamed():
                self._writer.flush()

    def close(self) -> None:
        self._flush_is_due = False
        if self._writer is not None:
            self._writer.close()


class TwoPhaseCommitOperator(SinkOperator):
    """Prepares at barriers, commits on completion."""

    LANES = "two-phase-commit"

    def __init__(self, sink: TwoPhaseCommitSink[Any], on_error: OnError) -> None:
        super().__init__(on_error)
        self._sink = sink
        self._writer: TwoPhaseCommitWriter[Any] | None = None

    def open(self) -> None:
        items = self._restored_lanes()
        old = self._old_run()
        if old is not None:
            self._recover(old, items, rewound=True)
            self.close()
        self._recover(self._sink_context, [] if old else items, rewound=False)

    def _recover(self, context: SinkContext, items: list[tuple[int, bytes]], *, rewound: bool) -> None:
        with self._blamed():
            crash_point("sink.open.before_fence")
            self._writer = self._sink.open(context)
            crash_point("sink.open.after_fence")
            self.context.check_leadership()
            self._committer = TwoPhaseCommitter(self._writer, context, self._schedule)
            self._committer.recover(items, self.context.restored.checkpoint_id, rewound=rewound)

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        assert self._writer is not None  # noqa: S101 - opened
        self._records_in.count += len(batch.values)
        with self._blamed():
            self._writer.write(batch.values, batch.timestamps)

    def prepare_snapshot(self, checkpoint_id: int) -> None:
        with self._blamed():
            self._committer.prepare(checkpoint_id)

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        return OperatorSnapshot(lanes={self.LANES: self._committer.snapshot()})

    def notify_complete(self, checkpoint_id: int) -> None:
        with self._blamed():
            self._committer.complete(checkpoint_id)

    def committed(self) -> bool:
        return not self._committer.has_pending()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class WriteAheadOperator(SinkOperator):
    """Logs records in the checkpoint, commits on completion."""

    LANES = "write-ahead"

    def __init__(self, sink: WriteAheadSink[Any], on_error: OnError) -> None:
        super().__init__(on_error)
        self._sink = sink
        self._lanes: WriteAheadLanes[Any] | None = None

    def open(self) -> None:
        items = self._restored_lanes()
        old = self._old_run()
        if old is not None:
            self._recover(old, items, rewound=True)
            self.close()
        self._recover(self._sink_context, [] if old else items, rewound=False)

    def _recover(self, context: SinkContext, items: list[tuple[int, bytes]], *, rewound: bool) -> None:
        with self._blamed():
            self._lanes = self._sink.open(context)
        self._log = WriteAheadLog(self._lanes, context, serializer_for(self._sink.record_type), self._sink.capabilities.max_commit_records)
        with self._blamed():
            self._log.recover(items, self.context.restored.checkpoint_id, rewound=rewound, fenced=self.context.check_leadership)

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        self._records_in.count += len(batch.values)
        with self._blamed():
            self._log.write(batch.values, batch.timestamps, self._sink)

    def prepare_snapshot(self, checkpoint_id: int) -> None:
        self._log.seal(checkpoint_id)

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        return OperatorSnapshot(lanes={self.LANES: self._log.snapshot()})

    def notify_complete(self, checkpoint_id: int) -> None:
        with self._blamed():
            self._log.complete(checkpoint_id)

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()


@dataclass(frozen=True)
class SinkSpec:
    """sink_to.

    Attributes:
        sink: resolved.
        keeps_state: False for sinks that leave nothing behind, such as print.
    """

    sink: AnySink
    keeps_state: bool = True
    on_error: OnError = "fail"

    def create(self) -> SinkOperator:
        if isinstance(self.sink, WriteAheadSink):
            return WriteAheadOperator(self.sink, self.on_error)
        if isinstance(self.sink, TwoPhaseCommitSink):
            return TwoPhaseCommitOperator(self.sink, self.on_error)
        return PlainSinkOperator(self.sink, self.on_error)
