"""`millstream jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from millstream.cli.figures import Figures
from millstream.cli.running import all_running
from millstream.cli.tables import print_table
from millstream.cli.texts import duration_text, time_text
from millstream.errors import MillstreamError
from millstream.runtime.control.messages import Look, Reported

if TYPE_CHECKING:
    from millstream.runtime.control.client import RunningJob
    from millstream.runtime.job_report import JobReport

_SILENCE_S = 2.0
_BUSY, _SILENT = "busy", "no answer"


@click.command(short_help="List the running jobs of this user.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for other programs: a list of what `status --json` gives, without the subtasks.")
def jobs(as_json: bool) -> None:
    """Lists the jobs of this user that run on this machine: those of `millstream run`, and of programs that called `execute` or
    `execute_async`, unless control.enabled is false there.

    Status "busy": a user function keeps the job's thread for more than a second. "no answer": the process stands still.

    Exit codes: 0, also if there are none.
    """
    found = [(job, *_look(job)) for job in all_running()]
    if as_json:
        click.echo(msgspec.json.encode([_facts(*one) for one in found]))
        return
    if not found:
        click.echo("No job of this user runs on this machine.", err=True)
        return
    columns = ["job", "pid", "status", "since", "for", "in", "out", "checkpoints", "restarts", "run"]
    print_table(columns, [_row(*one) for one in found], right=["pid", "in", "out", "restarts"])


def _look(job: RunningJob) -> tuple[JobReport | None, str]:
    """How the job is, or why that is not known."""
    try:
        for answer in job.ask(Look(subtasks=False), silence_s=_SILENCE_S):
            return (answer.report, answer.report.status) if isinstance(answer, Reported) else (None, _BUSY)
    except MillstreamError:
        return None, _SILENT
    return None, _SILENT


def _facts(job: RunningJob, report: JobReport | None, status: str) -> Any:
    return report if report is not None else {**msgspec.structs.asdict(job.note), "status": status}


def _row(job: RunningJob, report: JobReport | None, status: str) -> list[str]:
    note = job.note
    row = [note.job_name, str(note.pid), status, time_text(note.started_ms)]
    if report is None:
        return [*row, "", "", "", "", "", note.run_id]
    figures = Figures.of(report)
    counts = [f"{report.records_in:,}", f"{report.records_out:,}", figures.checkpoints_text, f"{report.restarts:,}"]
    return [*row, duration_text(report.elapsed_s), *counts, note.run_id]
