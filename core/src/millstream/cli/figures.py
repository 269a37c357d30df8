"""What a running job has done so far, as people read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.cli.texts import duration_text, rate_text, size_text, time_text
from millstream.records import MAX_TIMESTAMP

if TYPE_CHECKING:
    from millstream.runtime.job_report import JobReport

_ENDED: Final = "end of input"


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
    def of(report: JobReport) -> Figures:
        """The figures of a report."""
        return Figures(
            job_name=report.job_name,
            status=report.status,
            elapsed_s=report.elapsed_s,
            records_in=report.records_in,
            records_out=report.records_out,
            watermark=report.watermark,
            now_ms=report.now_ms,
            checkpoints=report.checkpoints.completed,
            failed_checkpoints=report.checkpoints.failed,
            last_checkpoint_s=report.checkpoints.last_duration_s,
            last_state_bytes=report.checkpoints.last_state_bytes,
            restarts=report.restarts,
            problem=report.problem,
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
