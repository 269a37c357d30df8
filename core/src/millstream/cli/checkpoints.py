"""`millstream checkpoints`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from millstream.checkpoint.manifest import plain
from millstream.cli import completed
from millstream.cli.checkpoint_contents import (
    NUMBERS,
    OPERATOR_COLUMNS,
    POSITION_COLUMNS,
    STATE_COLUMNS,
    operator_rows,
    position_rows,
    state_rows,
    verify,
)
from millstream.cli.checkpoint_diff import compare
from millstream.cli.checkpoint_diff_text import print_diff
from millstream.cli.checkpoint_paths import StoredCheckpoint, find_checkpoints
from millstream.cli.tables import print_table
from millstream.cli.texts import counted, duration_text, size_text, time_text
from millstream.errors import DamagedCheckpoint, MillstreamError, UnknownCheckpointFormat

if TYPE_CHECKING:
    from millstream.checkpoint.manifest import Manifest

_path = click.argument("path", metavar="PATH", shell_complete=completed.folders)


@click.group(short_help="List, inspect, verify and compare checkpoints.")
def checkpoints() -> None:
    """Looks at checkpoints that jobs left, without changing anything.

    PATH is a checkpoint root (what --checkpoint-dir was given), the folder of a job in it, or that of one checkpoint (.../chk-12); or a
    savepoint, or a folder of savepoints.
    """


@checkpoints.command("list", short_help="Which checkpoints there are.")
@_path
def list_checkpoints(path: str) -> None:
    """Lists the checkpoints at PATH, oldest first: job, id, kind, when it was completed, how long it took, its size, its run, and where it
    is.

    Exit codes: 0 listed, also if some are damaged; 1 there are none.
    """
    columns = ["job", "id", "kind", "completed", "took", "size", "run", "path"]
    print_table(columns, [_list_row(one) for job in find_checkpoints(path) for one in job], right=["id", "took", "size"])


@checkpoints.command(short_help="What is in a checkpoint.")
@_path
@click.option("--json", "as_json", is_flag=True, help="The whole manifest as JSON, for other programs.")
def inspect(path: str, as_json: bool) -> None:
    """Shows what is in the checkpoint at PATH; of a job's folder, and of each job of a root, the newest one.

    Operators with their uids, watermarks and sizes; states with the serializers that wrote them; the positions of sources.

    Exit codes: 0 shown, 1 there is none, or it is damaged.
    """
    for number, job in enumerate(find_checkpoints(path)):
        newest = job[-1]
        manifest = newest.manifest()
        if as_json:
            click.echo(msgspec.json.encode(plain(manifest)))
            continue
        if number:
            click.echo()
        _print_contents(newest, manifest)


@checkpoints.command("verify", short_help="Whether checkpoints are whole.")
@_path
def verify_checkpoints(path: str) -> None:
    """Reads every file of every checkpoint at PATH and checks lengths and checksums.

    Exit codes: 0 all are whole; 1 one is damaged, or there are none.
    """
    damaged = 0
    for job in find_checkpoints(path):
        for one in job:
            try:
                manifest = verify(one)
            except (DamagedCheckpoint, UnknownCheckpointFormat) as error:
                damaged += 1
                click.echo(f"DAMAGED  {one.location}: {_short(error)}")
            else:
                files = sum(len(task.files()) for task in manifest.tasks)
                click.echo(f"whole    {one.location}: {counted(files, 'state file')}, {size_text(manifest.state_bytes)}")
    if damaged:
        fix = "Restore another one with --resume PATH, or bring files back from a copy."
        click.echo(f"{counted(damaged, 'checkpoint')} cannot be restored. {fix}", err=True)
        raise click.exceptions.Exit(1)


@checkpoints.command(short_help="What changed from one checkpoint to another.")
@click.argument("first", metavar="A", shell_complete=completed.folders)
@click.argument("second", metavar="B", shell_complete=completed.folders)
@click.option("--json", "as_json", is_flag=True, help="The differences as JSON, for other programs.")
def diff(first: str, second: str, as_json: bool) -> None:
    """Shows what changed from checkpoint A to checkpoint B; of a job's folder, and of a root with one job, the newest one is taken.

    Operators and states that were added, removed or are written in another way; entries and bytes of each state; watermarks; the positions
    of sources; and what sinks had sealed and not yet committed. What is the same in both is left out.

    Exit codes: 0 shown, whether or not anything changed; 1 one of them is damaged or not there; 2 a path with checkpoints of several jobs.
    """
    differences = compare(_newest(first), _newest(second))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(differences)))
    else:
        print_diff(differences)


def _newest(path: str) -> StoredCheckpoint:
    jobs = find_checkpoints(path)
    if len(jobs) > 1:
        locations = "\n".join(f"  {job[-1].location}" for job in jobs)
        raise click.UsageError(f"{path} has checkpoints of {counted(len(jobs), 'job')}. Give one of them:\n{locations}")
    return jobs[0][-1]


def _list_row(one: StoredCheckpoint) -> list[str]:
    try:
        manifest = one.manifest()
    except (DamagedCheckpoint, UnknownCheckpointFormat) as error:
        return ["", str(one.checkpoint_id), f"damaged: {_short(error)}", "", "", "", "", one.location]
    return [
        manifest.job_name,
        str(manifest.checkpoint_id),
        manifest.kind,
        time_text(manifest.completed_ms),
        duration_text((manifest.completed_ms - manifest.triggered_ms) / 1_000),
        size_text(manifest.state_bytes),
        manifest.run_id,
        one.location,
    ]


def _short(error: MillstreamError) -> str:
    return error.what if isinstance(error, DamagedCheckpoint) else str(error)


def _print_contents(one: StoredCheckpoint, manifest: Manifest) -> None:
    took = duration_text((manifest.completed_ms - manifest.triggered_ms) / 1_000)
    click.echo(f"Checkpoint {manifest.checkpoint_id} of job {manifest.job_name!r}")
    click.echo(f"  path       {one.location}")
    click.echo(f"  kind       {manifest.kind}")
    click.echo(f"  completed  {time_text(manifest.completed_ms)}, {took} after its trigger")
    click.echo(f"  run        {manifest.run_id}, attempt {manifest.attempt}")
    files = counted(sum(len(task.files()) for task in manifest.tasks), "file")
    earlier = manifest.state_bytes - manifest.stored_bytes
    unchanged = f", of which {size_text(earlier)} were stored by earlier checkpoints" if earlier else ""
    click.echo(f"  state      {size_text(manifest.state_bytes)} in {files}{unchanged}")
    click.echo(f"  written    by millstream {manifest.millstream} on Python {manifest.python}")
    sections = [
        ("Operators", OPERATOR_COLUMNS, operator_rows(manifest)),
        ("States", STATE_COLUMNS, state_rows(manifest)),
        ("Positions of sources", POSITION_COLUMNS, position_rows(one, manifest)),
    ]
    for title, columns, rows in sections:
        if rows:
            click.echo()
            print_table(columns, rows, title=title, right=NUMBERS)
