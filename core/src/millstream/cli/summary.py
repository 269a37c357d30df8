"""The last lines about a job: how it ended, what it did, and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.cli.figures import Figures
from millstream.cli.texts import counted, duration_text, rate_text
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from millstream.runtime.job_report import JobReport

_WORDS: Final = {
    JobStatus.FINISHED.value: "finished",
    JobStatus.SUSPENDED.value: "stopped",
    JobStatus.CANCELED.value: "was cancelled",
    JobStatus.FAILED.value: "failed",
}


def summary(report: JobReport) -> list[str]:
    """The lines, for the observer's `ended`."""
    if report.ended_before:
        return [
            f"Job {report.job_name!r}: its run {report.run_id} had come to its end before; only its cleaning up was left, and is done now.",
            "Nothing was processed. The same command once more begins a new run.",
        ]
    figures, finished, kept = Figures.of(report), report.status == JobStatus.FINISHED.value, report.checkpoints.last_path
    seconds = max(report.elapsed_s, 1e-3)
    rate_in, rate_out = rate_text(report.records_in / seconds), rate_text(report.records_out / seconds)
    lines = [
        f"Job {report.job_name!r} {_WORDS.get(report.status, report.status)} after {duration_text(report.elapsed_s)}.",
        f"  records      {report.records_in:,} in ({rate_in}), {report.records_out:,} out ({rate_out})",
        f"  checkpoints  {figures.checkpoints_text}",
        f"  restarts     {report.restarts:,}",
        f"  run          {report.run_id}",
    ]
    lines += [f"  {name}  {value}" for name, value in sorted(report.accumulators.items())]
    if report.checkpoints.last_savepoint is not None:
        lines.append(f"  savepoint    {report.checkpoints.last_savepoint}")
    if kept is not None:
        lines.append(f"  kept         {kept}")
        if finished:
            lines.append(f"Start another run from there: the same command with --resume {kept}")
        elif report.resumable:
            lines.append("Go on from there: the same command with --resume auto")
    elif not finished:
        lines.append(f"No checkpoint was kept{'' if figures.checkpoints else ', and none was taken'}: the next run starts afresh.")
    return lines


def started(report: JobReport) -> str:
    """The first line about a job."""
    if report.ended_before:
        return f"Job {report.job_name!r} has nothing left to do."
    what = f"{counted(report.operators, 'operator')} in {counted(report.tasks, 'task')}"
    restored = report.checkpoints.last_id
    return f"Job {report.job_name!r} runs: {what}" + (f", going on from checkpoint {restored}" if restored else "") + f" (run {report.run_id})."
