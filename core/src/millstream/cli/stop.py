"""`millstream stop`."""

from __future__ import annotations

import click

from millstream.cli.running import end_job, exit_with, job_argument, the_job, wait_option
from millstream.runtime.control.messages import Stop
from millstream.runtime.job_status import JobStatus


@click.command(short_help="End a running job with a last checkpoint.")
@job_argument
@wait_option
def stop(job: str, no_wait: bool) -> None:
    """Ends JOB with a last checkpoint, behind which nothing is processed; sinks commit what came before it. The job goes on from there with
    the same command and `--resume auto`. What Ctrl-C does in the job's own terminal.

    A job without checkpoints, or one that is waiting for a restart, just ends.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 the job has stopped or come to its end, or was told with --no-wait; 1 there is no such job, it failed or was cancelled, or it
    does not answer; 130 interrupted while waiting.
    """
    report = end_job(the_job(job), Stop(), what="stop", wait=not no_wait)
    exit_with(report, JobStatus.SUSPENDED, JobStatus.FINISHED)
