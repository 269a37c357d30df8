"""The last lines about a job: how it ended, what it did, and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.cli.figures import Figures
from millstream.cli.texts import counted, duration_text, rate_text
from millstream.errors import DamagedCheckpoint, RestoreMismatch, RewoundTarget, UnknownCheckpointFormat
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from millstream.runtime.launch import LocalJob

_WORDS: Final = {
    JobStatus.FINISHED: "finished",
    JobStatus.SUSPENDED: "stopped",
    JobStatus.CANCELED: "was cancelled",
    JobStatus.FAILED: "failed",
}

CANNOT_BE_RESTORED: Final = (DamagedCheckpoint, UnknownCheckpointFormat, RestoreMismatch, RewoundTarget)
"""Failures that the same command would meet again; they say themselves what to do."""


def summary(job: LocalJob) -> list[str]:
    """The lines, for the observer's `ended`."""
    if job.job_manager is None:
        return [
            f"Job {job.job_name!r}: its run {job.ended_run} had come to its end before; only its cleaning up was left, and is done now.",
            "Nothing was processed. The same command once more begins a new run.",
        ]
    result, figures = job.result(), Figures.of(job)
    seconds = max(result.duration_s, 1e-3)
    rate_in, rate_out = rate_text(figures.records_in / seconds), rate_text(figures.records_out / seconds)
    lines = [
        f"Job {result.job_name!r} {_WORDS.get(result.status, result.status.value)} after {duration_text(result.duration_s)}.",
        f"  records      {figures.records_in:,} in ({rate_in}), {figures.records_out:,} out ({rate_out})",
        f"  checkpoints  {figures.checkpoints_text}",
        f"  restarts     {result.restarts:,}",
        f"  run          {result.run_id}",
    ]
    lines += [f"  {name}  {value}" for name, value in sorted(result.accumulators.items())]
    if result.last_checkpoint is not None:
        lines.append(f"  kept         {result.last_checkpoint}")
        if result.status is JobStatus.FINISHED:
            lines.append(f"Start another run from there: the same command with --resume {result.last_checkpoint}")
        elif not isinstance(job.job_manager.error, CANNOT_BE_RESTORED):
            lines.append("Go on from there: the same command with --resume auto")
    elif result.status is not JobStatus.FINISHED:
        lines.append(f"No checkpoint was kept{'' if figures.checkpoints else ', and none was taken'}: the next run starts afresh.")
    return lines


def started(job: LocalJob) -> str:
    """The first line about a job."""
    manager = job.job_manager
    if manager is None:
        return f"Job {job.job_name!r} has nothing left to do."
    tasks = sum(vertex.parallelism for vertex in manager.job.vertices)
    what = f"{counted(len(manager.job.operators()), 'operator')} in {counted(tasks, 'task')}"
    restored = manager.last_checkpoint_id
    return f"Job {job.job_name!r} runs: {what}" + (f", going on from checkpoint {restored}" if restored else "") + f" (run {manager.run_id})."
