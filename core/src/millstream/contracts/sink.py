"""Plain sinks, and what all sinks share.

Guarantee: at least once, when the source is replayable: everything written before a barrier is flushed before the checkpoint is
acknowledged. With the idempotent capability the repeated writes leave the same final state: exactly once in effect.

A sink object is a picklable description; `open` makes its client on the worker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.guarantee import SinkCapabilities
    from millstream.contracts.metrics import MetricGroup
    from millstream.contracts.two_phase_commit import TwoPhaseCommitSink
    from millstream.contracts.write_ahead import WriteAheadSink
    from millstream.ports import Clock, Executor, Random, Storage


def refuse(value: object, error: Exception) -> None:
    """`SinkContext.reject` where there is no policy: raises the error."""
    raise error


T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Who is writing, and with what.

    Attributes:
        job_name: name of the job.
        run_id: 32 hexadecimal digits; new for each fresh start of the job, kept by every restore.
        sink_uid: uid of the sink operator.
        subtask: 0-based index of the writer.
        parallelism: number of writers.
        attempt: grows with every restart of the job within one run: a fencing token.
        lane: the lane that this writer writes to, equal to `subtask`.
        owned_lanes: every lane this writer must fence and finish: its own, and those of former writers after a rescale.
    """

    job_name: str
    run_id: str
    sink_uid: str
    subtask: int
    parallelism: int
    attempt: int
    lane: int
    owned_lanes: tuple[int, ...]
    clock: Clock
    random: Random
    storage: Storage
    executor: Executor
    metrics: MetricGroup
    reject: Callable[[object, Exception], None] = refuse
    """Called by a writer with a record that it cannot write for the record's own fault (no format carries it, the target refuses its
    content), on the mailbox thread, at the latest in `flush` or `prepare`. Applies the sink's `on_error`: returns when the job goes on
    without the record, raises when it has to fail. Never for what is the target's fault: that is raised."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that is over for good: none of its checkpoints can be resumed from.

    Attributes:
        job_name: name of the job.
        run_id: of the run.
        sink_uid: uid of the sink operator.
        storage: files.
    """

    job_name: str
    run_id: str
    sink_uid: str
    storage: Storage


class BaseSink(ABC, Generic[T_contra]):
    """What every kind of sink has."""

    capabilities: SinkCapabilities

    def resolve(self) -> AnySink:
        """The sink that does the work. A sink with a `delivery` option may resolve to one of another contract."""
        return self  # type: ignore[return-value]  # every subclass is one of the kinds

    def forget_run(self, run: EndedRun) -> None:
        """Removes what the sink keeps at the target only to go on with this run. What is committed stays.

        Called on the sink that does the work, after its writers are closed and the run's checkpoints deleted (not at all when some are
        kept), on the JobManager's thread; again if the process dies meanwhile. What it raises is logged: the run has ended all the same.
        """


class SinkWriter(ABC, Generic[T]):
    """Writes for one subtask. Called on the mailbox thread."""

    @abstractmethod
    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        """Writes records, or buffers them until `flush`."""

    @abstractmethod
    def flush(self) -> None:
        """Returns when everything written is safe at the target; raises when some of it is not."""

    def close(self) -> None:
        """Releases everything, without flushing."""


class Sink(BaseSink[T]):
    """A sink that writes at once."""

    @abstractmethod
    def open(self, context: SinkContext) -> SinkWriter[T]:
        """Connects and fences older attempts where the target can."""


AnySink: TypeAlias = "Sink[Any] | WriteAheadSink[Any] | TwoPhaseCommitSink[Any]"
