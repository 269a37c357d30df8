"""The program that a script builds, taken at the moment it would be launched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from millstream.api.environment import CommandLine, StreamExecutionEnvironment, take_forgotten
from millstream.cli.report import script_errors_reported
from millstream.cli.script import run_script
from millstream.errors import MillstreamError, NoProgram
from millstream.graph.stream_graph import StreamGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Program:
    """What a script is about to run.

    Attributes:
        environment: holds the program and its settings.
        job_name: as given to `execute`.
    """

    environment: StreamExecutionEnvironment
    job_name: str | None


class _Seen(BaseException):
    """Ends the script in the place of its first job, as SystemExit would. No `except Exception` of the script stops it."""


class _Look(Generic[T]):
    """Looks at the program while its script is still there: classes are named after the script that is running."""

    def __init__(self, at: Callable[[Program], T]) -> None:
        self._at = at
        self.answers: list[T] = []
        self.error: MillstreamError | None = None

    def __call__(self, environment: StreamExecutionEnvironment, job_name: str | None) -> None:
        try:
            self.answers.append(self._at(Program(environment, job_name)))
        except MillstreamError as error:
            self.error = error
        environment.graph = StreamGraph()  # it was looked at: nobody forgot it
        raise _Seen


def look_at_program(script: str, arguments: Sequence[str], at: Callable[[Program], T]) -> T:
    """Runs a script up to its first `execute`, `execute_async` or `execute_and_collect`, and gives what `at` makes of that program. What
    would follow is not known: it may depend on the job's results.

    Raises:
        NoProgram: the script ends without any.
        MillstreamError: what `at` raises.
        SystemExit: the script ends itself, or fails; what there is to say is said.
    """
    look = _Look(at)
    CommandLine.intercept = look
    try:
        with script_errors_reported(script):
            run_script(script, arguments)
    except _Seen:
        if look.error is not None:
            raise look.error from None
        return look.answers[0]
    finally:
        CommandLine.intercept = None
    raise NoProgram(script=script, built=forgotten())


def forgotten() -> str:
    """Names the last operators of a program that was built and not executed, which is then no news any more; empty if there is none."""
    return ", ".join(repr(name) for name in take_forgotten()[-3:])
