"""The program that a script builds, taken at the moment it would be launched."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.api import environment as environments
from millstream.api.environment import CommandLine, StreamExecutionEnvironment
from millstream.cli.report import script_errors_reported
from millstream.cli.script import run_script
from millstream.errors import NoProgram
from millstream.graph.stream_graph import StreamGraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Program:
    """What a script was about to run.

    Attributes:
        environment: holds the program and its settings.
        job_name: as given to `execute`.
    """

    environment: StreamExecutionEnvironment
    job_name: str | None


class _Launch(BaseException):
    """Ends the script in the place of its first job, as SystemExit would. No `except Exception` of the script stops it."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program


def _stop_at_launch(environment: StreamExecutionEnvironment, job_name: str | None) -> None:
    raise _Launch(Program(environment, job_name))


@contextmanager
def first_program(script: str, arguments: Sequence[str], *, with_traceback: bool) -> Iterator[Program]:
    """Runs a script up to its first `execute`, `execute_async` or `execute_and_collect`. What would follow is not known: it may depend
    on results of that job.

    Raises:
        NoProgram: it ends without any.
        SystemExit: it ends itself, or fails; what there is to say is said.
    """
    program: Program | None = None
    CommandLine.intercept = _stop_at_launch
    try:
        with script_errors_reported(script, with_traceback=with_traceback):
            run_script(script, arguments)
    except _Launch as launch:
        program = launch.program
    finally:
        CommandLine.intercept = None
    if program is None:
        raise NoProgram(script=script, built=_forgotten())
    try:
        with script_errors_reported(script, with_traceback=with_traceback):
            yield program
    finally:
        program.environment.graph = StreamGraph()  # it was looked at: nobody forgot it


def _forgotten() -> str:
    """Names the last operators of a program that was built and not executed, which is then no news any more."""
    names: list[str] = []
    for environment in list(environments._environments):
        names += [repr(node.name) for node in environment.graph.nodes]
        environment.graph = StreamGraph()
    return ", ".join(names[-3:])
