"""Running jobs as commands name them, and waiting for what they were asked."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from millstream.cli import completed
from millstream.cli.job_options import resolve
from millstream.cli.summary import summary
from millstream.errors import JobUnreachable
from millstream.runtime.control.client import RunningJob, find_job, running_jobs
from millstream.runtime.control.messages import Accepted, Reported, SavepointTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.runtime.control.messages import Request
    from millstream.runtime.job_report import JobReport
    from millstream.runtime.job_status import JobStatus

job_argument = click.argument("job", metavar="JOB", shell_complete=completed.running)

wait_option = click.option("--no-wait", is_flag=True, help="Return as soon as the job has been told, not when it is over.")


def all_running() -> list[RunningJob]:
    """The running jobs of this user. Raises as `running_jobs`."""
    return running_jobs(resolve({}).settings.control.folder, os.environ)


def the_job(wanted: str) -> RunningJob:
    """The job that somebody means. Raises as `find_job`."""
    return find_job(wanted, all_running())


def end_job(job: RunningJob, request: Request, *, what: str, wait: bool) -> JobReport | None:
    """Asks a job to end, and says how it did; None when that is not waited for.

    Args:
        job: the job.
        request: how to end.
        what: the same as a verb, for people.
        wait: until it is over.

    Raises:
        JobUnreachable: it does not answer, or its process died before it could say how it ended.
    """
    told = f"Job {job.note.job_name!r} (process {job.note.pid}) was told to {what}"
    with interruption_told(f"{told}, and is left to it."):
        for answer in job.ask(request):
            if isinstance(answer, Reported):
                click.echo("\n".join(summary(answer.report)))
                return answer.report
            if isinstance(answer, SavepointTaken):
                click.echo(f"Savepoint: {answer.path}")
            if isinstance(answer, Accepted):
                click.echo(f"{told}.", err=True)
                if not wait:
                    return None
    raise JobUnreachable(job=job.note.job_name, pid=job.note.pid, reason="ended before it could say how")


def exit_with(report: JobReport | None, *good: JobStatus) -> None:
    """Leaves with 1 when the job ended in another way."""
    if report is None or report.status in {status.value for status in good}:
        return
    if report.problem:
        click.echo(f"Its last failure: {report.problem}", err=True)
    raise click.exceptions.Exit(1)


def absolute(target: str | None) -> str | None:
    """A folder as the job finds it, which has another working folder; a URL as it is."""
    return target if target is None or "://" in target else os.path.abspath(os.path.expanduser(target))


@contextmanager
def interruption_told(text: str) -> Iterator[None]:
    """A Ctrl-C ends the command, not what it waits for."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(text, err=True)
        raise click.exceptions.Exit(130) from None
