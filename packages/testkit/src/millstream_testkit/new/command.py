"""`millstream new`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from millstream.cli import completed
from millstream_testkit.new.names import connector_names
from millstream_testkit.new.package import write_package


@click.group(short_help="Write the package of a new connector.")
def new() -> None:
    """Writes the beginning of something that you go on with."""


@new.command(short_help="A package with a source and a sink, and the tests that prove them.")
@click.argument("name", metavar="NAME")
@click.option(
    "--directory",
    metavar="FOLDER",
    help="Where the package is written: a folder that is new or empty. millstream-NAME in the working folder unless given.",
    shell_complete=completed.folders,
)
def connector(name: str, directory: str | None) -> None:
    """Writes the package of a connector for the system NAME: `my-queue` makes the distribution millstream-my-queue, which is imported as
    millstream_my_queue.

    It can be installed at once, and what it offers is listed by `millstream plugins`. Source and sink have every method that their contracts
    demand, each with what it must do; the package's own tests are the conformance suites, and fail with what is still to be written.

    Exit codes: 0 written; 1 the name cannot be used, or the folder is not empty; 2 wrong usage.
    """
    names = connector_names(name)
    folder = Path(directory or names.dist)
    paths = write_package(names, folder)
    click.echo(f"Wrote {names.dist} to {folder}:")
    for path in paths:
        click.echo(f"  {path}")
    click.echo("\nGo on with:")
    click.echo(f"  cd {shlex.quote(str(folder))}")
    click.echo("  python -m pip install -e '.[test]'")
    click.echo('  python -m pytest -x -m "not faults"')
    click.echo("\nThe first test that fails says what is to be written next, and so on until all pass.")
    click.echo("No license is chosen: add a LICENSE file, and name it in pyproject.toml, before you publish anything.")
