"""Every mistake in what was set, not only the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millstream.config.layers import SPECS, Given, from_environment, from_tables
from millstream.config.settings import Settings
from millstream.config.toml_file import TomlFile
from millstream.errors import MillstreamError, SettingsFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def mistakes(environ: Mapping[str, str], toml_path: Path | None, cli: Mapping[str, Any] | None = None) -> list[MillstreamError]:
    """What `Settings.resolve` would refuse of variables and a file: each as the error that it would raise, were it the only one.

    Whether values go together is judged when each of them is allowed.

    Args:
        environ: variables; those that begin with `MILLSTREAM__` count.
        toml_path: the file, None for none.
        cli: settings of the command line, which are right one by one.
    """
    given = (_mistake(from_environment({variable: value})) for variable, value in environ.items())
    found = [mistake for mistake in given if mistake is not None]
    if toml_path is not None:
        found += _in_file(toml_path)
    if not found:
        try:
            Settings.resolve(cli=cli, environ=environ, toml_path=toml_path)
        except MillstreamError as error:
            found.append(error)
    return found


def _in_file(path: Path) -> list[MillstreamError]:
    try:
        file = TomlFile(path)
    except SettingsFileInvalid as error:
        return [error]
    tables = ({name: one} for name, value in file.tables.items() for one in _apart(value))
    found = (_mistake(from_tables(file, table)) for table in tables)
    return [mistake for mistake in found if mistake is not None]


def _apart(value: object) -> list[object]:
    """The settings of a table, each in a table of its own; whatever else there is, as it is."""
    return [{key: one} for key, one in value.items()] if isinstance(value, Mapping) and value else [value]


def _mistake(settings: Iterable[Given]) -> MillstreamError | None:
    try:
        for given in settings:
            SPECS[given.key].read(given.value, given.origin, in_code=False)
    except MillstreamError as error:
        return error
    return None
