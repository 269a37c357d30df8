"""All commands, each imported when it is asked for, and the last stop of every error."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from millstream.__about__ import __version__
from millstream.cli.demo import PREFIX
from millstream.cli.plugin_commands import command_of_plugin, offered_commands
from millstream.cli.report import report
from millstream.errors import MillstreamError

COMMANDS: Final = {
    "run": ("millstream.cli.run:run", "Run the job of a script."),
    "plan": ("millstream.cli.plan:plan", "Show the job graph of a script, without running it."),
    "check": ("millstream.cli.check:check", "Compute what a job guarantees, and refuse what it cannot keep."),
    "jobs": ("millstream.cli.jobs:jobs", "List the running jobs of this user."),
    "status": ("millstream.cli.status:status", "Show what a running job is doing."),
    "savepoint": ("millstream.cli.savepoint:savepoint", "Take a savepoint of a running job, or delete one."),
    "stop": ("millstream.cli.stop:stop", "End a running job with a last checkpoint."),
    "cancel": ("millstream.cli.cancel:cancel", "End a running job now."),
    "plugins": ("millstream.cli.plugins:plugins", "List what is installed: sources, sinks, backends, storages, formats."),
    "config": ("millstream.cli.config:config", "Show every setting, its value and where that is from."),
    "checkpoints": ("millstream.cli.checkpoints:checkpoints", "List, inspect, verify and compare checkpoints."),
    "doctor": ("millstream.cli.doctor.command:doctor", "Find what is wrong with this installation, its settings and storage, and a job."),
    "demo": ("millstream.cli.demo:demo", "Run a demonstration against a real system, as plugins bring them along."),
    "completion": ("millstream.cli.completion:completion", "Print the script that completes commands in bash, zsh or fish."),
}
"""Commands of core: where each is, and what `--help` says of it."""

NOT_OURS: Final = {"new": "millstream-testkit", "kafka": "millstream-kafka"}
"""Commands of our other distributions, for who has not installed them yet."""


class Millstream(click.Group):
    """Finds commands here and among plugins, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in self._abouts()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return command_of_plugin(cmd_name) if cmd_name in _own_names_of_plugins() else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if ctx.resilient_parsing:  # a shell that completes: whatever is wrong with the command, this is not the time to say so
            return name, self._quietly(ctx, name), args[1:]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"There is no command {name!r}.{self._hint(ctx, name)}", ctx)
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: click.Context, name: str) -> str:
        if name in NOT_OURS:
            return f" It comes with {NOT_OURS[name]}: pip install {NOT_OURS[name]}"
        near = get_close_matches(name, self.list_commands(ctx), n=1)
        return f" Did you mean {near[0]!r}?" if near else ""

    def _quietly(self, ctx: click.Context, name: str) -> click.Command | None:
        try:
            return self.get_command(ctx, name)
        except MillstreamError:
            return None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Without importing the commands."""
        commands = [CompletionItem(name, help=about) for name, about in self._abouts() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(self._abouts())

    def _abouts(self) -> list[tuple[str, str]]:
        """Name of each command, and what it does."""
        offered = _own_names_of_plugins()
        own = [(name, about) for name, (_, about) in COMMANDS.items()]
        return own + [(name, about) for name, about in offered.items() if name not in COMMANDS]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MillstreamError as error:
            report(error)
            ctx.exit(1)


@click.command(
    cls=Millstream,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 130 interrupted. `millstream COMMAND --help` says more.",
)
@click.version_option(__version__, prog_name="millstream", message="%(prog)s %(version)s")
def app() -> None:
    """Runs stream processing jobs, and shows what they are made of."""
    # Names and records may hold any character; a terminal or file of a narrow encoding shows what it can.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _own_names_of_plugins() -> dict[str, str]:
    """Commands of plugins that stand beside those of core."""
    return {name: about for name, about in offered_commands().items() if not name.startswith(PREFIX)}
