"""Commands that plugins add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from millstream.plugins import PluginManager


def _plugins() -> PluginManager:
    from millstream.plugins import default_manager  # most commands are core's own and need no plugin to be found

    return default_manager()


def offered_commands() -> dict[str, str]:
    """Names of all that plugins offer, and what each is for; nothing is imported."""
    return {entry.name: entry.description for entry in _plugins().entries("cli_command")}


def command_of_plugin(name: str) -> click.Command:
    """One of them, imported.

    Raises:
        InvalidArgument: what the plugin has there is no command.
        PluginLoadFailed: it cannot be imported.
    """
    command = _plugins().find("cli_command", name).load()
    if not isinstance(command, click.Command):
        raise InvalidArgument(what=f"the CLI command {name!r} of a plugin", value=repr(command), allowed="a click command")
    return command
