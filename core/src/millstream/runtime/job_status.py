"""What a job is doing, and what it leaves when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class JobStatus(Enum):
    """Life of a job. The last four are final."""

    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    FINISHED = "finished"
    CANCELED = "canceled"
    SUSPENDED = "suspended"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobStatus.FINISHED, JobStatus.CANCELED, JobStatus.SUSPENDED, JobStatus.FAILED)


@dataclass(frozen=True)
class JobExecutionResult:
    """What `execute` returns.

    Attributes:
        job_name: name of the job.
        run_id: the run.
        status: how it ended.
        duration_s: from the start to the end, restarts included.
        restarts: how often it was started again.
        checkpoints: completed checkpoints.
        last_checkpoint: where the last one that was kept is, for `--resume`; None when none was kept.
        savepoint: where the last savepoint that was taken of it in this process is, for `--resume`; None when there was none.
        accumulators: totals over all subtasks.
        counts: counters by `operator.name`, summed over subtasks.
    """

    job_name: str
    run_id: str
    status: JobStatus
    duration_s: float
    restarts: int
    checkpoints: int
    last_checkpoint: str | None = None
    savepoint: str | None = None
    accumulators: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
