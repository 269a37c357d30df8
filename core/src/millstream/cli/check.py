"""`millstream check`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from millstream.cli import completed
from millstream.cli.job_options import command_line_settings, script_arguments, setting_options, settings_given
from millstream.cli.program import look_at_program
from millstream.cli.tables import print_table
from millstream.contracts.guarantee import Guarantee
from millstream.errors import GuaranteeNotMet
from millstream.graph.guarantee import weakest
from millstream.runtime.log import configure_logging

if TYPE_CHECKING:
    from millstream.cli.program import Program
    from millstream.graph.guarantee import Leg
    from millstream.graph.stream_graph import StreamNode


@click.command(short_help="Compute what a job guarantees, and refuse what it cannot keep.")
@script_arguments
@setting_options
@click.option(
    "--guarantee",
    metavar="NAME",
    help="Ask for exactly_once, at_least_once or at_most_once (setting job.guarantee).",
    shell_complete=completed.choices(*(guarantee.label for guarantee in Guarantee)),
)
def check(script: str, script_args: tuple[str, ...], pairs: tuple[str, ...], guarantee: str | None, **named: Any) -> None:
    """Runs SCRIPT up to its first job and computes what that job guarantees: for every way from a source to a sink how often the effect of
    a record shows whatever fails, what keeps it from being more, and what to do about it.

    Refused is a job of which the setting job.guarantee, or a sink with exactly-once delivery, asks for more than a way gives; and one that
    cannot run as it is, for example because a uid is missing.

    Exit codes: 0 the job keeps what it is asked for; 1 refused, or the script failed; 2 wrong usage. A SystemExit of the script passes.
    """
    given = settings_given(pairs, guarantee=guarantee, **named)
    with command_line_settings(given) as resolved:
        configure_logging(resolved.settings.logging.level)
        findings = look_at_program(script, script_args, _findings)
    _print(findings)
    if findings.refusals:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class Findings:
    """What a job guarantees, and why it is refused.

    Attributes:
        legs: every way from a source to a sink.
        refusals: sentences with the fix; empty when the job keeps what it is asked for.
    """

    legs: list[Leg]
    refusals: list[str]


def findings_of(program: Program) -> Findings:
    """The guarantee of a program, whether or not it can run as it is."""
    environment = program.environment
    wanted = environment.settings(program.job_name).job.guarantee
    asking = {node.label for node in environment.graph.nodes if _asks_for_exactly_once(node)}
    legs = environment.guarantee_legs()
    refusals = [refusal for leg in legs if (refusal := _refusal(leg, Guarantee[wanted.upper()] if wanted else None, asking))]
    return Findings(legs, refusals)


def _findings(program: Program) -> Findings:
    with suppress(GuaranteeNotMet):  # one of the refusals
        program.environment.job_graph(program.job_name)
    return findings_of(program)


def _refusal(leg: Leg, job_wants: Guarantee | None, asking: set[str]) -> str:
    """Why the job is refused because of one way; empty when it is not."""
    if job_wants is not None and leg.guarantee < job_wants:
        who, wanted = "job.guarantee", job_wants
    elif leg.sink in asking and leg.guarantee < Guarantee.EXACTLY_ONCE:
        who, wanted = f"sink {leg.sink}", Guarantee.EXACTLY_ONCE
    else:
        return ""
    way = f"from source {leg.source} to sink {leg.sink} the job gives {leg.guarantee.label}"
    return f"Refused: {who} asks for {wanted.label}, but {way}. {leg.reason} {leg.fix}"


def _print(findings: Findings) -> None:
    legs = findings.legs
    print_table(
        ["source", "sink", "guarantee", "why not more", "what to do"],
        [[leg.source, leg.sink, leg.guarantee.label, leg.reason, leg.fix] for leg in legs],
    )
    click.echo(f"\nThe job as a whole: {weakest(legs).label}" if legs else "The job has no sink: it guarantees nothing to anybody.")
    for refusal in findings.refusals:
        click.echo(refusal, err=True)


def _asks_for_exactly_once(node: StreamNode) -> bool:
    """A plain sink that could do more was not asked to; one of these contracts is chosen for what it gives."""
    if node.sink is None:
        return False
    capabilities = node.sink.capabilities
    return capabilities.kind in ("write_ahead", "two_phase_commit") and capabilities.strongest() is Guarantee.EXACTLY_ONCE
