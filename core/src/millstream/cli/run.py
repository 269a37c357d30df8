"""`millstream run`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from millstream.api.execution import Execution
from millstream.cli import completed
from millstream.cli.job_options import allow_option, command_line_settings, overruled, script_arguments, setting_options, settings_given
from millstream.cli.plain_progress import PlainProgress
from millstream.cli.program import forgotten
from millstream.cli.report import script_errors_reported
from millstream.cli.script import run_script
from millstream.runtime.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from millstream.api.execution import Observer
    from millstream.config import Settings
    from millstream.runtime.job_report import JobReport


@click.command(short_help="Run the job of a script.")
@script_arguments
@setting_options
@click.option("--processes", metavar="N", help="TaskManager processes to divide the subtasks among; without it, all run in this process.")
@click.option(
    "--resume",
    metavar="auto|never|PATH",
    help="What to do with checkpoints of an unfinished run: go on, start afresh, or take this checkpoint.",
    shell_complete=completed.words_or_folders("auto", "never"),
)
@click.option("--rewind", is_flag=True, help="Allow a checkpoint older than what the sinks have committed; the job then makes a new run.")
@allow_option
def run(
    script: str,
    script_args: tuple[str, ...],
    pairs: tuple[str, ...],
    parallelism: str | None,
    name: str | None,
    checkpoint_dir: str | None,
    log_level: str | None,
    processes: str | None,
    resume: str | None,
    rewind: bool,
    allow_non_restored_state: bool,
) -> None:
    """Runs SCRIPT as `python SCRIPT` would, and shows how its job is getting on.

    Settings come from the program, these options, the environment (MILLSTREAM__SECTION__KEY) and millstream.toml, in this order:
    what the program itself sets wins. Arguments of the script go behind `--`.

    Progress, log and summary are written to stderr; stdout belongs to the job.

    The first Ctrl-C stops the job with a last checkpoint, from which `--resume auto` goes on. The second ends it at once.

    Exit codes: 0 the job finished, or was stopped with a checkpoint; 1 it failed; 2 wrong usage; 130 interrupted twice. A SystemExit of the
    script passes.
    """
    given = settings_given(
        pairs,
        name=name,
        parallelism=parallelism,
        processes=processes,
        checkpoint_dir=checkpoint_dir,
        log_level=log_level,
        resume=resume,
        rewind=rewind,
        allow_non_restored_state=allow_non_restored_state,
    )
    with command_line_settings(given) as resolved, _progress() as observer:
        configure_logging(resolved.settings.logging.level)
        Execution.observer = _Noting(observer, given)
        try:
            with script_errors_reported(script):
                run_script(script, script_args)
                built = forgotten()
                if built:
                    click.echo(f"{script} built a program ({built}), but never executed it. Call env.execute() at its end.", err=True)
        finally:
            Execution.observer = None


@contextmanager
def _progress() -> Iterator[Observer]:
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield PlainProgress(sys.stderr)
        return
    from millstream.cli.live_progress import LiveProgress  # pipes and services do without
    from millstream.cli.terminal import Terminal

    terminal = Terminal(sys.stderr)
    observer = LiveProgress(terminal, sys.stderr)
    with terminal.shared():
        yield observer


class _Noting:
    """Another observer, and a note of options that have no effect because the program sets the same."""

    def __init__(self, observer: Observer, given: Mapping[str, str]) -> None:
        self.interval_s = observer.interval_s
        self._observer = observer
        self._given = given

    def started(self, report: JobReport, settings: Settings) -> None:
        for key in overruled(self._given, settings):
            click.echo(f"Note: {key}={self._given[key]} has no effect, because the program sets {key} itself.", err=True)
        self._observer.started(report, settings)

    def progress(self, report: JobReport) -> None:
        self._observer.progress(report)

    def ended(self, report: JobReport) -> None:
        self._observer.ended(report)
