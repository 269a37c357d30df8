"""`millstream plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from millstream.cli.job_options import command_line_settings, script_arguments, setting_options, settings_given
from millstream.cli.plan_mermaid import mermaid_of
from millstream.cli.plan_model import plan_of
from millstream.cli.plan_text import text_of
from millstream.cli.program import look_at_program
from millstream.cli.script import output_to_stderr
from millstream.runtime.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.cli.plan_model import JobPlan


def _json_of(plan: JobPlan) -> str:
    return msgspec.json.format(msgspec.json.encode(plan)).decode()


_FORMATS: Final[dict[str, Callable[[JobPlan], str]]] = {"text": text_of, "mermaid": mermaid_of, "json": _json_of}


@click.command(short_help="Show the job graph of a script, without running it.")
@script_arguments
@setting_options
@click.option("--format", "output_format", type=click.Choice(list(_FORMATS)), default="text", show_default=True, help="How to show it.")
def plan(script: str, script_args: tuple[str, ...], pairs: tuple[str, ...], output_format: str, **named: Any) -> None:
    """Runs SCRIPT up to its first job and shows that job as it would be deployed: vertices with their chained operators, how records get
    from one vertex to the next, and how each state is written.

    A vertex runs as so many tasks as its parallelism says. Chained operators call each other directly; between vertices records go
    through channels, inside one process as they are, without being written.

    `mermaid` is a flowchart that GitHub and many editors draw; `json` is for other programs. With these two, what the script itself
    prints goes to stderr.

    Exit codes: 0 shown, 1 the program cannot run as it is, 2 wrong usage. A SystemExit of the script passes.
    """
    given = settings_given(pairs, **named)
    with command_line_settings(given) as resolved:
        configure_logging(resolved.settings.logging.level)
        with output_to_stderr(when=output_format != "text"):
            planned = look_at_program(script, script_args, plan_of)
    click.echo(_FORMATS[output_format](planned))
