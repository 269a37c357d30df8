"""What a running job has done so far, read from its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.cli.texts import duration_text, rate_text, size_text, time_text
from millstream.contracts.metrics import Gauge
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.graph.job_graph import ChainedOperator
    from millstream.runtime.launch import LocalJob

_ENDED: Final = "end of input"
MOST_OF_A_PROBLEM: Final = 160
"""Characters of a failure that a line of progress shows; the log and the summary have all of it."""


@dataclass(frozen=True)
class Figures:
    """One look at a job.

    Attributes:
        elapsed_s: since the job was started.
        records_in: emitted by sources, in all attempts of this process.
        records_out: given to sinks, likewise.
        watermark: lowest event time among the sinks that have one, ms; None when none has.
        now_ms: wall clock.
        last_checkpoint_s: how long the last checkpoint took.
        last_state_bytes: what it holds.
        problem: first line of the last failure, cut when it is long; empty without.
    """

    job_name: str
    status: str
    elapsed_s: float = 0.0
    records_in: int = 0
    records_out: int = 0
    watermark: int | None = None
    now_ms: int = 0
    checkpoints: int = 0
    failed_checkpoints: int = 0
    last_checkpoint_s: float = 0.0
    last_state_bytes: int = 0
    restarts: int = 0
    problem: str = ""

    @staticmethod
    def of(job: LocalJob) -> Figures:
        """The figures of a job as it is now. On the job's thread."""
        manager = job.job_manager
        if manager is None:
            return Figures(job.job_name, "finished")
        operators = [operator for _, operator in manager.job.operators()]
        statistics = manager.coordinator.statistics
        ended_s = job.ended_s if job.ended_s is not None else job.ports.clock.monotonic_s()
        counts = job.registry.counts(job.job_name)
        sinks = _names(operator for operator in operators if operator.sink is not None)
        return Figures(
            job_name=job.job_name,
            status=manager.status.value,
            elapsed_s=ended_s - job.started_s,
            records_in=sum(counts.get(f"{name}.numRecordsOut", 0) for name in _names(o for o in operators if o.source is not None)),
            records_out=sum(counts.get(f"{name}.numRecordsIn", 0) for name in sinks),
            watermark=_watermark(job, sinks),
            now_ms=job.ports.clock.now_ms(),
            checkpoints=statistics.completed,
            failed_checkpoints=statistics.failed,
            last_checkpoint_s=statistics.last_duration_s,
            last_state_bytes=statistics.last_state_bytes,
            restarts=manager.restarts,
            problem=_in_short(manager.error) if manager.error is not None else "",
        )

    @property
    def checkpoints_text(self) -> str:
        """How many were completed, with what is known of the last."""
        text = f"{self.checkpoints:,}"
        if self.checkpoints:
            text += f" (last {duration_text(self.last_checkpoint_s)}, {size_text(self.last_state_bytes)})"
        return f"{text}, {self.failed_checkpoints:,} failed" if self.failed_checkpoints else text

    @property
    def watermark_text(self) -> str:
        """Event time, and how far it is behind the clock; empty when there is none."""
        if self.watermark is None:
            return ""
        if self.watermark == MAX_TIMESTAMP:
            return _ENDED
        return f"{time_text(self.watermark)} (lag {duration_text((self.now_ms - self.watermark) / 1_000)})"

    def rates(self, before: Figures) -> tuple[str, str]:
        """Records per second, in and out, since an earlier look."""
        seconds = max(self.elapsed_s - before.elapsed_s, 1e-3)
        return rate_text((self.records_in - before.records_in) / seconds), rate_text((self.records_out - before.records_out) / seconds)


def _names(operators: Iterable[ChainedOperator]) -> set[str]:
    """Metrics are kept by the operator's name; operators of one name share theirs."""
    return {operator.name for operator in operators}


def _watermark(job: LocalJob, sinks: set[str]) -> int | None:
    known: list[int] = []
    for (scope_job, operator, _, *name), metric in job.registry:
        if scope_job == job.job_name and operator in sinks and name == ["currentInputWatermark"] and isinstance(metric, Gauge):
            value = metric.value()
            if isinstance(value, int) and value > MIN_TIMESTAMP:
                known.append(value)
    return min(known, default=None)


def _in_short(error: BaseException) -> str:
    line = str(error).partition("\n")[0]
    return line if len(line) <= MOST_OF_A_PROBLEM else f"{line[: MOST_OF_A_PROBLEM - 1]}…"
