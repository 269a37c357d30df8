"""What reporters are told of a whole job, with Flink's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.runtime.job_manager import JobManager
    from millstream.runtime.launch import LocalJob


def register_job_metrics(job: LocalJob, manager: JobManager) -> None:
    """Makes the gauges of a job; their scope names no operator and no subtask."""
    group, coordinator, statistics = job.registry.group(job.job_name, "", ""), manager.coordinator, manager.coordinator.statistics
    group.gauge("uptime", lambda: round((job.ports.clock.monotonic_s() - job.started_s) * 1_000))
    group.gauge("numRestarts", lambda: manager.restarts)
    group.gauge("numberOfCompletedCheckpoints", lambda: statistics.completed)
    group.gauge("numberOfFailedCheckpoints", lambda: statistics.failed)
    group.gauge("numberOfInProgressCheckpoints", lambda: coordinator.in_progress)
    group.gauge("lastCheckpointDuration", lambda: round(statistics.last_duration_s * 1_000))
    group.gauge("lastCheckpointSize", lambda: statistics.last_state_bytes)
