"""Taking a look at a job: its JobManager and its metrics as a JobReport."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.metrics import Counter, Gauge
from millstream.errors import DamagedCheckpoint, RestoreMismatch, RewoundTarget, UnknownCheckpointFormat
from millstream.graph.execution_graph import SubtaskId
from millstream.records import MIN_TIMESTAMP
from millstream.runtime.job_report import CheckpointsReport, JobReport, SubtaskReport, in_short
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from millstream.graph.job_graph import ChainedOperator, JobVertex
    from millstream.runtime.job_manager import JobManager
    from millstream.runtime.launch import LocalJob
    from millstream.runtime.metrics import MetricRegistry

CANNOT_BE_RESTORED: Final = (DamagedCheckpoint, UnknownCheckpointFormat, RestoreMismatch, RewoundTarget)
"""Failures that the same command would meet again; they say themselves what to do."""


def look_at(job: LocalJob, *, subtasks: bool = True) -> JobReport:
    """The job as it is now. On the job's thread, or when it is over.

    Args:
        job: the job.
        subtasks: whether to go into each operator and subtask.
    """
    manager, now_ms = job.job_manager, job.ports.clock.now_ms()
    ended_s = job.ended_s if job.ended_s is not None else job.ports.clock.monotonic_s()
    if manager is None:
        return JobReport(
            job_name=job.job_name,
            run_id=job.ended_run,
            status=JobStatus.FINISHED.value,
            pid=os.getpid(),
            started_ms=job.started_ms,
            now_ms=now_ms,
            elapsed_s=ended_s - job.started_s,
            ended_before=True,
        )
    operators = [operator for _, operator in manager.job.operators()]
    counts = job.registry.counts(job.job_name)
    sinks = _names(operator for operator in operators if operator.sink is not None)
    return JobReport(
        job_name=job.job_name,
        run_id=manager.run_id,
        status=manager.status.value,
        pid=os.getpid(),
        started_ms=job.started_ms,
        now_ms=now_ms,
        elapsed_s=ended_s - job.started_s,
        restarts=manager.restarts,
        problem=in_short(manager.error) if manager.error is not None else "",
        checkpoints=_checkpoints(job, manager),
        records_in=sum(counts.get(f"{name}.numRecordsOut", 0) for name in _names(o for o in operators if o.source is not None)),
        records_out=sum(counts.get(f"{name}.numRecordsIn", 0) for name in sinks),
        watermark=min(_watermarks(job, manager, sinks), default=None),
        operators=len(operators),
        tasks=sum(vertex.parallelism for vertex in manager.job.vertices),
        subtasks=tuple(_subtasks(job, manager)) if subtasks else (),
        accumulators={name: _text(value) for name, value in manager.accumulators.items()},
        resumable=not isinstance(manager.error, CANNOT_BE_RESTORED),
    )


def _names(operators: Iterable[ChainedOperator]) -> set[str]:
    """Metrics are kept by the operator's name; operators of one name share theirs."""
    return {operator.name for operator in operators}


def _checkpoints(job: LocalJob, manager: JobManager) -> CheckpointsReport:
    statistics = manager.coordinator.statistics
    if manager.status.is_final:
        path = manager.last_checkpoint()
    else:  # the storage is not asked while the job runs: it may be slow
        path = job.store.location(statistics.last_completed_id) if statistics.completed else None
    return CheckpointsReport(
        completed=statistics.completed,
        failed=statistics.failed,
        in_progress=manager.coordinator.in_progress,
        last_id=manager.last_checkpoint_id,
        last_duration_s=statistics.last_duration_s,
        last_state_bytes=statistics.last_state_bytes,
        last_path=path,
        last_savepoint=manager.last_savepoint,
    )


def _watermarks(job: LocalJob, manager: JobManager, sinks: set[str]) -> Iterator[int]:
    for vertex, operator in manager.job.operators():
        if operator.name in sinks:
            for subtask in range(vertex.parallelism):
                watermark = _watermark(job.registry, (job.job_name, operator.name, str(subtask)))
                if watermark is not None:
                    yield watermark


def _subtasks(job: LocalJob, manager: JobManager) -> Iterator[SubtaskReport]:
    for vertex in manager.job.vertices:
        tasks = [(manager.place_of(SubtaskId(vertex.vertex_id, subtask)), _times(job, vertex, subtask)) for subtask in range(vertex.parallelism)]
        for operator in vertex.chain:
            for subtask, (place, (busy, idle, backpressured)) in enumerate(tasks):
                scope = (job.job_name, operator.name, str(subtask))
                yield SubtaskReport(
                    operator=operator.name,
                    uid=operator.uid,
                    vertex=vertex.vertex_id,
                    subtask=subtask,
                    parallelism=vertex.parallelism,
                    attempt=place.attempt if place else None,
                    state=place.state.value if place else "",
                    where=place.task_manager if place else "",
                    records_in=_count(job.registry, (*scope, "numRecordsIn")),
                    records_out=_count(job.registry, (*scope, "numRecordsOut")),
                    watermark=_watermark(job.registry, scope),
                    busy_ms_per_s=busy,
                    idle_ms_per_s=idle,
                    backpressured_ms_per_s=backpressured,
                )


def _count(registry: MetricRegistry, identifier: tuple[str, ...]) -> int:
    metric = registry.find(identifier)
    return metric.count if isinstance(metric, Counter) else 0


def _watermark(registry: MetricRegistry, scope: tuple[str, ...]) -> int | None:
    value = _gauge(registry, (*scope, "currentInputWatermark"))
    return value if isinstance(value, int) and value > MIN_TIMESTAMP else None


def _times(job: LocalJob, vertex: JobVertex, subtask: int) -> tuple[float | None, float | None, float | None]:
    """Busy, idle and backpressured."""
    busy, idle, backpressured = (_time(job, vertex, subtask, f"{state}TimeMsPerSecond") for state in ("busy", "idle", "backPressured"))
    return busy, idle, backpressured


def _time(job: LocalJob, vertex: JobVertex, subtask: int, name: str) -> float | None:
    value = _gauge(job.registry, (job.job_name, vertex.name, str(subtask), name))
    return float(value) if isinstance(value, int | float) else None


def _gauge(registry: MetricRegistry, identifier: tuple[str, ...]) -> object:
    metric = registry.find(identifier)
    return metric.value() if isinstance(metric, Gauge) else None


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's class; what it cannot say is no reason to fail
        return f"{type(value).__name__} that cannot be written: {type(error).__name__}"
