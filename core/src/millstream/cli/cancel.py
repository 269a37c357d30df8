"""`millstream cancel`."""

from __future__ import annotations

import click

from millstream.cli.running import end_job, exit_with, job_argument, the_job, wait_option
from millstream.runtime.control.messages import Cancel
from millstream.runtime.job_status import JobStatus


@click.command(short_help="End a running job now.")
@job_argument
@wait_option
def cancel(job: str, no_wait: bool) -> None:
    """Ends JOB at once, without another checkpoint. Unless checkpoint.retention says otherwise, its checkpoints are deleted: to go on later,
    use `millstream stop`.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 the job is over, or was told with --no-wait; 1 there is no such job, it failed, or it does not answer; 130 interrupted while
    waiting.
    """
    report = end_job(the_job(job), Cancel(), what="end", wait=not no_wait)
    exit_with(report, JobStatus.CANCELED, JobStatus.FINISHED, JobStatus.SUSPENDED)
