"""`millstream demo`: demonstrations that plugins bring along."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

import click

from millstream.cli.plugin_commands import command_of_plugin, offered_commands

PREFIX: Final = "demo-"
"""How a plugin names the command of a demonstration: `demo-kafka` is run by `millstream demo kafka`."""


class Demos(click.Group):
    """Finds demonstrations among plugins, and imports only the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name.removeprefix(PREFIX) for name in offered_commands() if name.startswith(PREFIX)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of_plugin(PREFIX + cmd_name) if cmd_name in self.list_commands(ctx) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, known, n=1)
            there = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(known) or 'none; try pip install millstream-kafka'}."
            raise click.UsageError(f"There is no demonstration {name!r}. {there}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without importing them."""
        with formatter.section("Demonstrations"):
            about = offered_commands()
            formatter.write_dl([(name, about[PREFIX + name]) for name in self.list_commands(ctx)] or [("(none)", "pip install millstream-kafka")])


@click.command(cls=Demos, short_help="Run a demonstration against a real system, as plugins bring them along.")
def demo() -> None:
    """Runs a demonstration: a job against a real system, with data of its own."""
