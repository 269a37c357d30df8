"""`millstream savepoint`."""

from __future__ import annotations

import click

from millstream.cli import completed
from millstream.cli.running import absolute, interruption_told, job_argument, the_job
from millstream.errors import JobUnreachable, RequestRefused
from millstream.runtime.control.messages import Reported, Savepoint, SavepointTaken


@click.command(short_help="Take a savepoint of a running job.")
@job_argument
@click.argument("folder", metavar="[DIR]", required=False, shell_complete=completed.folders)
def savepoint(job: str, folder: str | None) -> None:
    """Takes a savepoint of JOB, which runs on, and prints where it is. A savepoint is yours: the engine never deletes it, and it can be moved.
    Start a run from it with `millstream run --resume PATH`.

    It goes into a folder of its own below DIR, a folder or URL; without DIR below what the job's checkpoint.savepoint_dir says.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 it was taken; 1 there is no such job, it could not be taken, or the job does not answer; 130 interrupted while waiting.
    """
    running = the_job(job)
    with interruption_told(f"Job {running.note.job_name!r} (process {running.note.pid}) goes on with the savepoint."):
        for answer in running.ask(Savepoint(target=absolute(folder))):
            if isinstance(answer, SavepointTaken):
                click.echo(answer.path)
                return
            if isinstance(answer, Reported):
                reason = f"it is over ({answer.report.status}), before a savepoint was taken."
                raise RequestRefused(job=running.note.job_name, reason=reason)
    raise JobUnreachable(job=running.note.job_name, pid=running.note.pid, reason="ended before the savepoint was taken")
