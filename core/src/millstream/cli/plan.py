"""`millstream plan`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from millstream.cli import completed
from millstream.cli.job_options import allow_option, command_line_settings, script_arguments, setting_options, settings_given
from millstream.cli.plan_fit import fit_of_program, json_of_fit, print_fit
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
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--from",
    "restored_from",
    metavar="PATH",
    help="Compare the job with a checkpoint or savepoint: what a restore would do with each state, and whether it would be accepted.",
    shell_complete=completed.folders,
)
@allow_option
def plan(
    script: str, script_args: tuple[str, ...], pairs: tuple[str, ...], output_format: str, as_json: bool, restored_from: str | None, **named: Any
) -> None:
    """Runs SCRIPT up to its first job and shows that job as it would be deployed: vertices with their chained operators, how records get
    from one vertex to the next, and how each state is written.

    A vertex runs as so many tasks as its parallelism says. Chained operators call each other directly; between vertices records go
    through channels, inside one process as they are, without being written.

    `mermaid` is a flowchart that GitHub and many editors draw; `json` is for other programs. With these two, what the script itself
    prints goes to stderr.

    With `--from` the job is compared with the checkpoint at PATH, of a folder of several with the newest: which operators and states are
    matched, read in another form, new or dropped, how they are dealt out at another parallelism, and in the end whether `run --resume PATH`
    would be accepted. What functions declare when they are opened is compared then.

    Exit codes: 0 shown, 1 the program cannot run as it is or a restore would be refused, 2 wrong usage. A SystemExit of the script passes.
    """
    output_format = "json" if as_json else output_format
    if restored_from is not None and output_format == "mermaid":
        raise click.UsageError("--from has no flowchart: leave --format out, or take --format json")
    given = settings_given(pairs, **named)
    with command_line_settings(given) as resolved:
        configure_logging(resolved.settings.logging.level)
        with output_to_stderr(when=output_format != "text"):
            if restored_from is None:
                shown = _FORMATS[output_format](look_at_program(script, script_args, plan_of))
            else:
                fit = look_at_program(script, script_args, partial(fit_of_program, restored_from))
    if restored_from is None:
        click.echo(shown)
        return
    if output_format == "json":
        click.echo(json_of_fit(fit))
    else:
        print_fit(fit)
    if not fit.accepted:
        raise click.exceptions.Exit(1)
