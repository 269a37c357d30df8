"""`millstream stop`."""

from __future__ import annotations

import click

from millstream.cli import completed
from millstream.cli.running import absolute, end_job, exit_with, job_argument, the_job, wait_option
from millstream.runtime.control.messages import Stop
from millstream.runtime.job_status import JobStatus


@click.command(short_help="End a running job with a last checkpoint.")
@job_argument
@click.option(
    "--drain/--suspend",
    help="Whether event time ends first, so that all windows and timers fire: for a job that is not to go on. By default it is suspended.",
)
@click.option("--savepoint", is_flag=True, help="Take a savepoint as well, where the job's checkpoint.savepoint_dir says.")
@click.option("--savepoint-dir", metavar="DIR", help="Take a savepoint as well, below this folder or URL.", shell_complete=completed.folders)
@wait_option
def stop(job: str, drain: bool, savepoint: bool, savepoint_dir: str | None, no_wait: bool) -> None:
    """Ends JOB with a last checkpoint, behind which nothing is processed; sinks commit what came before it. The job goes on from there with
    the same command and `--resume auto`. What Ctrl-C does in the job's own terminal.

    A job without checkpoints, or one that is waiting for a restart, just ends.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 the job has stopped or come to its end, or was told with --no-wait; 1 there is no such job, it failed or was cancelled, the
    savepoint failed, or it does not answer; 130 interrupted while waiting.
    """
    request = Stop(drain=drain, savepoint=absolute(savepoint_dir) or savepoint)
    report = end_job(the_job(job), request, what="stop", wait=not no_wait)
    exit_with(report, JobStatus.SUSPENDED, JobStatus.FINISHED)
