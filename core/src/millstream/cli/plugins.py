"""`millstream plugins`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import click

from millstream.cli.tables import print_table
from millstream.errors import PluginLoadFailed
from millstream.plugins import ROLES, default_manager
from millstream.plugins.entries import spoken

if TYPE_CHECKING:
    from millstream.plugins import Entry, PluginManager, Role


@click.command(short_help="List what is installed: sources, sinks, backends, storages, formats.")
def plugins() -> None:
    """Lists what plugins offer, by role: under which name, from which distribution, with which guarantees and capabilities.

    Then the plugins that could not be loaded, with their tracebacks, and names that several plugins offer. Jobs that ask for neither run
    all the same.
    """
    manager = default_manager()
    for role in ROLES:
        entries = manager.entries(cast("Role", role))
        if entries:
            columns = ["name", "distribution", "guarantees", "capabilities", "what it is"]
            print_table(columns, [_row(entry) for entry in entries], title=_title(role))
            click.echo()
    _print_failures(manager)
    for duplicate in manager.duplicates:
        click.echo(f"Duplicate: {duplicate}")


def _title(role: str) -> str:
    words = f"{spoken(role)}s"
    return words[0].upper() + words[1:]


def _row(entry: Entry) -> list[str]:
    return [entry.name, f"{entry.dist} {entry.dist_version}", ", ".join(entry.guarantees), _capabilities(entry), entry.description]


def _capabilities(entry: Entry) -> str:
    """What it can do, in the words of its capabilities; fields that say nothing are left out."""
    try:
        found = entry.load_capabilities()
    except PluginLoadFailed as error:
        return f"cannot be used: {error.reason}"
    if found is None:
        return ""
    return ", ".join(_words(field.name, getattr(found, field.name)) for field in dataclasses.fields(found) if _says_something(found, field))


def _says_something(capabilities: object, field: dataclasses.Field[object]) -> bool:
    value = getattr(capabilities, field.name)
    # What a source cannot do is worth a word.
    return value not in (False, None, "") or (field.name == "replayable" and value is False)


def _words(name: str, value: object) -> str:
    words = name.replace("_", " ")
    if value is True:
        return words
    if value is False:
        return f"not {words}"
    return str(value).replace("_", "-") if name == "kind" else f"{words}: {value}"


def _print_failures(manager: PluginManager) -> None:
    for failure in manager.failures:
        click.echo(f"Not loaded: {failure.dist} {failure.version}, plugin {failure.entry_point!r}: {failure.error}.")
        click.echo("".join(f"    {line}\n" for line in failure.traceback.splitlines()))
