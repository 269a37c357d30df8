"""`millstream status`."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Final

import click
import msgspec

from millstream.cli.figures import Figures
from millstream.cli.plain_progress import progress_line
from millstream.cli.running import job_argument, the_job
from millstream.cli.subtasks import COLUMNS, NUMBERS, subtask_rows
from millstream.cli.summary import summary
from millstream.cli.tables import print_table
from millstream.errors import JobUnreachable
from millstream.runtime.control.messages import Follow, Look, Reported, Waiting
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.runtime.control.client import RunningJob
    from millstream.runtime.control.messages import Request
    from millstream.runtime.job_report import JobReport

_RATES_OVER_S: Final = 0.5
_LINES_EVERY_S: Final = 5.0
_DRAWN_EVERY_S: Final = 0.5
_JSON_EVERY_S: Final = 1.0
_MOST_WAITING_S: Final = 10.0
_FINAL: Final = frozenset(status.value for status in JobStatus if status.is_final)


@click.command(short_help="Show what a running job is doing.")
@job_argument
@click.option("--watch", is_flag=True, help="Go on showing it until the job is over or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for other programs; with --watch a line each second.")
def status(job: str, watch: bool, as_json: bool) -> None:
    """Shows the figures of JOB, and each operator and subtask: where it runs, records, watermark, and the share of time in which its task was
    busy, idle and backpressured, as far as that is measured.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 shown; 1 there is no such job, it does not answer, or its process died while it was watched.
    """
    running = the_job(job)
    try:
        if as_json:
            _print_json(running, watch=watch)
        elif watch:
            _watch(running)
        else:
            _show(running)
    except KeyboardInterrupt:
        click.echo(err=True)  # how one leaves


def _reports(job: RunningJob, request: Request, *, most_waiting_s: float | None = None) -> Iterator[JobReport]:
    """Reports until the last.

    Raises:
        JobUnreachable: the process ended without one, or its JobManager does not come to the request for too long.
    """
    for answer in job.ask(request):
        if isinstance(answer, Reported):
            yield answer.report
            if answer.report.status in _FINAL or isinstance(request, Look):
                return
        elif isinstance(answer, Waiting) and most_waiting_s is not None and answer.for_s > most_waiting_s:
            reason = f"has been inside a user function for {answer.for_s:.0f} s, and cannot be asked meanwhile"
            raise JobUnreachable(job=job.note.job_name, pid=job.note.pid, reason=reason)
    raise JobUnreachable(job=job.note.job_name, pid=job.note.pid, reason="ended before it could say how")


def _print_json(job: RunningJob, *, watch: bool) -> None:
    request = Follow(every_s=_JSON_EVERY_S) if watch else Look()
    for report in _reports(job, request, most_waiting_s=None if watch else _MOST_WAITING_S):
        click.echo(msgspec.json.encode(report))
        sys.stdout.flush()


def _show(job: RunningJob) -> None:
    looks = list(islice(_reports(job, Follow(every_s=_RATES_OVER_S), most_waiting_s=_MOST_WAITING_S), 2))
    before, now = looks[0], looks[-1]
    if sys.stdout.isatty():
        from rich.console import Console

        from millstream.cli.live_progress import progress_block

        Console().print(progress_block(Figures.of(now), Figures.of(before)))
    else:
        click.echo(progress_line(Figures.of(now), Figures.of(before)))
    if now.checkpoints.last_path is not None:
        click.echo(f"newest checkpoint: {now.checkpoints.last_path}")
    click.echo()
    print_table(COLUMNS, subtask_rows(now), right=NUMBERS)


def _watch(job: RunningJob) -> None:
    if sys.stdout.isatty():
        from millstream.cli.live_status import watch_live

        last = watch_live(_reports(job, Follow(every_s=_DRAWN_EVERY_S)))
    else:
        last = _watch_lines(_reports(job, Follow(every_s=_LINES_EVERY_S, subtasks=False)))
    click.echo("\n".join(summary(last)))


def _watch_lines(reports: Iterator[JobReport]) -> JobReport:
    report = next(reports)
    before = now = Figures.of(report)
    click.echo(progress_line(now, before))
    for report in reports:
        before, now = now, Figures.of(report)
        click.echo(progress_line(now, before))
        sys.stdout.flush()
    return report
