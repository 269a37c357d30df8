"""`millstream plan --from`: how a checkpoint or savepoint fits the job, for people and for programs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click
import msgspec

from millstream.cli.checkpoint_files import read_state_file
from millstream.cli.checkpoint_paths import find_checkpoints
from millstream.cli.tables import print_table
from millstream.cli.texts import counted
from millstream.errors import NoCheckpoints
from millstream.runtime.fit import fit_of

if TYPE_CHECKING:
    from millstream.cli.checkpoint_paths import StoredCheckpoint
    from millstream.cli.program import Program
    from millstream.runtime.fit_model import Fit, OperatorFit

_COLUMNS = ["uid", "operator", "fit", "subtasks", "key groups"]
_STATE_COLUMNS = ["uid", "state", "kind", "entries", "fit", "what happens"]


def fit_of_program(path: str, program: Program) -> Fit:
    """Compares the checkpoint at a path, of several the newest, with a program.

    Raises:
        NoCheckpoints: there is none, or several jobs have some and none of them is this one.
        DamagedCheckpoint, UnknownCheckpointFormat: it cannot be read.
        EmptyJob, MissingUid, DuplicateUid, InvalidParallelism, GuaranteeNotMet, TypeNotCarried: the job cannot run as it is.
    """
    environment = program.environment
    job, settings = environment.job_graph(program.job_name), environment.settings(program.job_name)
    stored = _newest(path, job.job_name)
    allow = settings.job.allow_non_restored_state
    return fit_of(stored.manifest(), job, stored.location, partial(read_state_file, stored), allow_non_restored_state=allow)


def _newest(path: str, job_name: str) -> StoredCheckpoint:
    found = find_checkpoints(path)
    if len(found) == 1:
        return found[0][-1]
    for checkpoints in found:
        if checkpoints[-1].manifest().job_name == job_name:
            return checkpoints[-1]
    raise NoCheckpoints(path=path, why=f"{len(found)} jobs have checkpoints there, and none of them is {job_name!r}")


def json_of_fit(fit: Fit) -> str:
    """The same for other programs."""
    plain = {"accepted": fit.accepted, **msgspec.to_builtins(fit)}
    return msgspec.json.format(msgspec.json.encode(plain)).decode()


def print_fit(fit: Fit) -> None:
    """Prints what becomes of each operator and state, and the verdict as the last line or lines."""
    click.echo(f"From {fit.checkpoint}: {fit.kind} {fit.checkpoint_id}, to job {fit.job!r}\n")
    print_table(_COLUMNS, [_row(operator) for operator in fit.operators], title="Operators")
    states = [
        [operator.uid, state.name, state.kind, f"{state.entries:,}", state.verdict, state.note]
        for operator in fit.operators
        for state in operator.states
    ]
    if states:
        click.echo()
        print_table(_STATE_COLUMNS, states, title="States", right=["entries"])
    click.echo()
    for what in fit.left_behind:
        click.echo(f"Left behind: {what}.")
    if fit.accepted:
        click.echo("A restore would be accepted.")
        return
    click.echo(f"A restore would be refused, for {counted(len(fit.mismatches), 'reason')}:")
    for number, mismatch in enumerate(fit.mismatches, 1):
        click.echo(f"  {number}. {mismatch}")


def _row(operator: OperatorFit) -> list[str]:
    return [
        operator.uid,
        operator.name,
        operator.verdict,
        _change(operator.old_parallelism, operator.parallelism),
        _change(operator.old_max_parallelism, operator.max_parallelism),
    ]


def _change(old: int | None, new: int | None) -> str:
    if old is None or new is None or old == new:
        return str(new if old is None else old)
    return f"{old} -> {new}"
