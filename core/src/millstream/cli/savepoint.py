"""`millstream savepoint`."""

from __future__ import annotations

import click

from millstream.cli import completed
from millstream.cli.running import absolute, interruption_told, the_job
from millstream.errors import JobUnreachable, PathUnusable, RequestRefused
from millstream.runtime.control.messages import Reported, Savepoint, SavepointTaken


@click.command(short_help="Take a savepoint of a running job, or delete one.")
@click.argument("job", metavar="JOB", required=False, shell_complete=completed.running)
@click.argument("folder", metavar="[DIR]", required=False, shell_complete=completed.folders)
@click.option("--dispose", metavar="PATH", help="Delete the savepoint at PATH instead.", shell_complete=completed.folders)
def savepoint(job: str | None, folder: str | None, dispose: str | None) -> None:
    """Takes a savepoint of JOB, which runs on, and prints where it is. A savepoint is yours: the engine never deletes it, and it can be moved.
    Start a run from it with `millstream run --resume PATH`.

    It goes into a folder of its own below DIR, a folder or URL; without DIR below what the job's checkpoint.savepoint_dir says.

    JOB is the name of a running job of this user, NAME#PID, or its run id; `millstream jobs` lists them.

    Exit codes: 0 it was taken, or deleted; 1 there is no such job or savepoint, it could not be taken, or the job does not answer; 2 wrong
    usage; 130 interrupted while waiting.
    """
    if (job is None) == (dispose is None):
        raise click.UsageError("Give the JOB that a savepoint is to be taken of, or --dispose PATH to delete one.")
    if job is not None:
        _take(job, folder)
    elif dispose is not None:
        _dispose(dispose)


def _take(wanted: str, folder: str | None) -> None:
    job = the_job(wanted)
    with interruption_told(f"Job {job.note.job_name!r} (process {job.note.pid}) goes on with the savepoint."):
        for answer in job.ask(Savepoint(target=absolute(folder))):
            if isinstance(answer, SavepointTaken):
                click.echo(answer.path)
                return
            if isinstance(answer, Reported):
                raise RequestRefused(job=job.note.job_name, reason=f"it is over ({answer.report.status}), before a savepoint was taken.")
    raise JobUnreachable(job=job.note.job_name, pid=job.note.pid, reason="ended before the savepoint was taken")


def _dispose(path: str) -> None:
    from millstream.plugins import default_manager
    from millstream.ports import LocalStorage
    from millstream.runtime.savepoints import dispose_savepoint

    try:
        dispose_savepoint(path, default_manager(), LocalStorage())
    except OSError as error:
        fix = "Make it writable to the user that deletes it"
        raise PathUnusable(what="The savepoint", path=path, reason=error.strerror or str(error), fix=fix) from error
    click.echo(f"Deleted the savepoint at {path}.", err=True)
