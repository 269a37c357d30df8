"""What commands that take a script have in common: its path, its arguments, and settings from the command line."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from millstream.api.environment import CommandLine
from millstream.cli import completed
from millstream.cli.script import script_path
from millstream.config import SPECS, Settings, find_settings_file
from millstream.errors import MillstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from millstream.config import Resolved

C = TypeVar("C", bound="Callable[..., Any]")

_NAMED = {
    "name": "job.name",
    "parallelism": "job.parallelism",
    "processes": "execution.processes",
    "resume": "job.resume",
    "rewind": "job.rewind",
    "allow_non_restored_state": "job.allow_non_restored_state",
    "checkpoint_dir": "checkpoint.storage",
    "log_level": "logging.level",
    "guarantee": "job.guarantee",
}
"""Options that are settings under a shorter name."""


def script_arguments(command: C) -> C:
    """SCRIPT and what it is given itself."""
    rest = click.argument("script_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- SCRIPT ARGUMENTS...]")
    return click.argument("script", callback=script_path, metavar="SCRIPT", shell_complete=completed.files)(rest(command))


def setting_options(command: C) -> C:
    """Options that every command with a script takes."""
    options = [
        click.option("-p", "--parallelism", metavar="N", help="Subtasks of each operator that does not say otherwise."),
        click.option("--name", metavar="NAME", help="Name of the job, where the program gives none."),
        click.option(
            "--checkpoint-dir", metavar="DIR", help="Where checkpoints are kept (setting checkpoint.storage).", shell_complete=completed.folders
        ),
        click.option(
            "-s",
            "--set",
            "pairs",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any setting; `millstream config` lists them. Repeatable.",
            shell_complete=completed.settings,
        ),
        click.option(
            "--log-level",
            metavar="LEVEL",
            help="debug, info, warning, error or critical. debug also shows tracebacks of the engine.",
            shell_complete=completed.choices("debug", "info", "warning", "error", "critical"),
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def settings_given(pairs: tuple[str, ...], **named: Any) -> dict[str, str]:
    """Settings of the command line, by dotted name. An option of its own goes before the same setting given with -s.

    Raises:
        click.UsageError: a pair without `=`.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, for example -s checkpoint.interval=10s", param_hint="'-s' / '--set'")
        given[key.strip()] = value
    given.update({_NAMED[option]: str(value) for option, value in named.items() if value not in (None, False)})
    return given


def allow_option(command: C) -> C:
    """--allow-non-restored-state."""
    return click.option(
        "--allow-non-restored-state",
        is_flag=True,
        help="Leave state of the checkpoint behind that no operator takes over, instead of refusing to start.",
    )(command)


@contextmanager
def command_line_settings(given: Mapping[str, str]) -> Iterator[Resolved]:
    """Gives them to every environment that is made inside, and checks them first.

    Raises:
        click.UsageError: they make no sense.
        UnknownSetting, SettingInvalid, SettingsConflict, SettingsFileInvalid: those of the environment or the file make none.
    """
    resolved = resolve(given)
    CommandLine.settings = given
    try:
        yield resolved
    finally:
        CommandLine.settings = {}


def resolve(given: Mapping[str, str]) -> Resolved:
    """All settings, as far as no program says otherwise. Raises as `command_line_settings`."""
    check_settings(given)
    return Settings.resolve(cli=given, environ=os.environ, toml_path=find_settings_file(Path.cwd()))


def check_settings(given: Mapping[str, str]) -> None:
    """Refuses settings of the command line that make no sense by themselves.

    Raises:
        click.UsageError: with the reason.
    """
    try:
        Settings.resolve(cli=given)
    except MillstreamError as error:
        raise click.UsageError(str(error)) from None


def overruled(given: Mapping[str, str], settings: Settings) -> list[str]:
    """Keys of settings that the command line gives and the program sets to something else: code comes first."""
    return [key for key, text in given.items() if _value(settings, key) != SPECS[key].read(text, "command line", in_code=False)]


def _value(settings: Settings, key: str) -> object:
    section, _, name = key.partition(".")
    value: object = getattr(getattr(settings, section), name)
    return value
