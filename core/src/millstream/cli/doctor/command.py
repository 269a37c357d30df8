"""`millstream doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from millstream.__about__ import __version__
from millstream.cli import completed
from millstream.cli.doctor.environment import environment_findings
from millstream.cli.doctor.finding import Section, ok, problem, problem_of
from millstream.cli.doctor.job import job_findings
from millstream.cli.doctor.plugins import plugin_findings
from millstream.cli.doctor.settings import mistake_finding, setting_findings
from millstream.cli.doctor.storage import storage_findings
from millstream.cli.job_options import check_settings, command_line_settings, setting_options, settings_given
from millstream.cli.program import look_at_program
from millstream.cli.script import output_to_stderr, script_path
from millstream.cli.texts import counted
from millstream.config import FILE_NAME, find_settings_file, mistakes
from millstream.errors import NoProgram
from millstream.plugins import default_manager
from millstream.ports import LocalStorage, SystemClock
from millstream.runtime.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.doctor.finding import Finding
    from millstream.cli.program import Program
    from millstream.config import Resolved


def _optional_script(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return script_path(ctx, param, value) if value is not None else None


@click.command(short_help="Find what is wrong with this installation, its settings and storage, and a job.")
@click.argument("script", required=False, callback=_optional_script, metavar="[SCRIPT]", shell_complete=completed.files)
@click.argument("script_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- SCRIPT ARGUMENTS...]")
@setting_options
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON, for CI.")
def doctor(script: str | None, script_args: tuple[str, ...], pairs: tuple[str, ...], as_json: bool, **named: Any) -> None:
    """Looks at the Python and the distributions that are installed, at the settings of this folder, at the folder of checkpoints, and at
    every plugin. With SCRIPT also at the job it would run first: uids, guarantee, and how it is started; nothing of it runs.

    Each check is ok, a warning, or a problem; the latter two come with a fix. In the folder of checkpoints it is tried whether files can be
    made durable and renamed in one step; nothing is left of that.

    With --json, what the script itself prints goes to stderr.

    Exit codes: 0 no problem; 1 a problem; 2 wrong usage.
    """
    given = settings_given(pairs, **named)
    check_settings(given)
    with output_to_stderr(when=as_json):
        findings = list(_findings(script, script_args, given))
    _print_json(findings) if as_json else _print(findings)
    if any(finding.level == "problem" for finding in findings):
        raise click.exceptions.Exit(1)


def _findings(script: str | None, script_args: tuple[str, ...], given: dict[str, str]) -> Iterator[Finding]:
    yield from environment_findings()
    file, plugins = find_settings_file(Path.cwd()), default_manager()
    yield ok("settings", f"Settings file: {file if file else f'none (no {FILE_NAME} in this folder or one above)'}.")
    wrong = mistakes(os.environ, file, given)
    yield from map(mistake_finding, wrong)
    if not wrong:
        with command_line_settings(given) as resolved:
            configure_logging(resolved.settings.logging.level)
            found: list[Finding] = []
            if script is not None:
                resolved = _look(script, script_args, resolved, found)
            yield from setting_findings(resolved, plugins, of_job=script is not None)
            yield from storage_findings(resolved.settings, plugins, LocalStorage(), SystemClock())
            yield from found
    elif script is not None:
        yield problem("job", "The job cannot be looked at while settings are wrong.", "Correct the settings above first")
    yield from plugin_findings(plugins)


def _look(script: str, script_args: tuple[str, ...], resolved: Resolved, found: list[Finding]) -> Resolved:
    """Adds what is found of a script's job. The settings with what its program sets; `resolved` when there is no program."""

    def at(program: Program) -> Resolved:
        found.extend(job_findings(program, script))
        return program.environment.resolved_settings(program.job_name)

    try:
        return look_at_program(script, script_args, at)
    except NoProgram as error:
        found.append(problem_of("job", error))
    except SystemExit as end:
        fix = "Its own message says why. If it needs arguments, give them behind `--`"
        found.append(problem("job", f"{script} ended with exit code {end.code} before it ran a job.", fix))
    return resolved


def _print(findings: list[Finding]) -> None:
    for section in get_args(Section):
        inside = [finding for finding in findings if finding.section == section]
        if inside:
            click.echo(section.capitalize())
        for finding in inside:
            click.echo(f"  {finding.level:<8} {finding.what}")
            if finding.fix:
                click.echo(f"           Fix: {finding.fix.rstrip('.')}.")
        if inside:
            click.echo()
    click.echo(f"{counted(_count(findings, 'problem'), 'problem')}, {counted(_count(findings, 'warning'), 'warning')}.")


def _print_json(findings: list[Finding]) -> None:
    answer = {"millstream": __version__, "problems": _count(findings, "problem"), "warnings": _count(findings, "warning"), "findings": findings}
    click.echo(msgspec.json.format(msgspec.json.encode(answer)))


def _count(findings: list[Finding], level: str) -> int:
    return sum(finding.level == level for finding in findings)
