"""`millstream config`."""

from __future__ import annotations

from pathlib import Path

import click

from millstream.cli import completed
from millstream.cli.job_options import resolve, settings_given
from millstream.cli.tables import print_table
from millstream.config import FILE_NAME, find_settings_file, variable_of


@click.command(short_help="Show every setting, its value and where that is from.")
@click.option("--all", "everything", is_flag=True, help="Also what each setting is, which values it may have, and its environment variable.")
@click.option(
    "-s",
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Show what this would come to. Repeatable.",
    shell_complete=completed.settings,
)
def config(everything: bool, pairs: tuple[str, ...]) -> None:
    """Shows every setting with its value and where that is from, for a job that is started in this folder.

    What the job's program sets itself is not known here; it wins over all that is.
    """
    file = find_settings_file(Path.cwd())
    resolved = resolve(settings_given(pairs))
    if everything:
        for value in resolved.values:
            click.echo(f"{value.key} = {value.text}  ({value.origin})")
            click.echo(f"    {value.spec.about}.\n    Allowed: {value.spec.kind.allowed}.\n    Variable: {variable_of(value.key)}\n")
    else:
        print_table(["setting", "value", "from"], [[value.key, value.text, str(value.origin)] for value in resolved.values])
        click.echo()
    click.echo(f"File: {file if file else f'none (no {FILE_NAME} in this folder or one above)'}")
