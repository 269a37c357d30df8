"""Runs a script as Python would, inside this process."""

from __future__ import annotations

import runpy
import sys
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def script_path(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The absolute path of an argument that names a script.

    Raises:
        click.BadParameter: there is no such file, or it cannot be read.
    """
    path = Path(value)
    try:
        if path.is_dir():
            raise click.BadParameter(f"{value} is a folder. Give the Python file that builds the job.", ctx, param)
        if not path.is_file():
            near = get_close_matches(path.name, _scripts_beside(path), n=1)
            hint = f" Did you mean {str(path.with_name(near[0]))!r}?" if near else ""
            raise click.BadParameter(f"there is no file {value} (looked in {path.absolute().parent}).{hint}", ctx, param)
        path.open("rb").close()
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be read: {error.strerror}.", ctx, param) from None
    return str(path.absolute())


def _scripts_beside(path: Path) -> list[str]:
    try:
        return [found.name for found in path.parent.glob("*.py")]
    except OSError:  # the hint is a courtesy
        return []


def run_script(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Runs it under the name `__main__`, with its arguments, and its folder first where modules are looked for.

    Classes of the script are then stored under the same names as with `python job.py`. Raises whatever the script raises.

    Args:
        script: absolute path.
        arguments: what the script finds in `sys.argv` behind its own name.

    Returns:
        The script's global names; what they refer to lives as long as somebody holds them.
    """
    with _as_program(script, arguments):
        return runpy.run_path(script, run_name="__main__")


@contextmanager
def output_to_stderr(*, when: bool) -> Iterator[None]:
    """Keeps what a script prints out of an answer on stdout that another program reads."""
    if not when:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _as_program(script: str, arguments: Sequence[str]) -> Iterator[None]:
    argv, path = sys.argv, sys.path
    sys.argv = [script, *arguments]
    # As Python does it: the folder where the file really is, also when a link leads to it.
    sys.path = [str(Path(script).resolve().parent), *path]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
