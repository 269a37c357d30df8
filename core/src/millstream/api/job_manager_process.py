"""A JobManager in a process of its own: what that process does, and what the two say to each other."""

from __future__ import annotations

import gc
import json
import os
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, Literal

from millstream.api.execution import Execution
from millstream.errors import JobCodeUnusable, MillstreamError
from millstream.plugins import default_manager
from millstream.runtime import user_code
from millstream.runtime.launch import Launcher
from millstream.runtime.log import configure_logging
from millstream.runtime.processes.control import ORPHANED
from millstream.runtime.processes.start import leave_signals_to_the_program

if TYPE_CHECKING:
    from millstream.config import Settings
    from millstream.runtime.job_report import JobReport

Wish = Literal["stop", "end"]
"""What the program may ask for: a last checkpoint and then the end, or the end now."""


@dataclass(frozen=True)
class JobProgram:
    """The first message to a JobManager process.

    Attributes:
        main: how to import the script of the job.
        job: the job graph and the settings, readable once that is imported.
        takes_over: the run whose JobManager died; empty when none did.
        log_level: lines of at least this level go to stderr; None to leave logging alone.
        interval_s: time between reports.
    """

    job_name: str
    main: dict[str, Any] = field(repr=False)
    job: bytes = field(repr=False)
    takes_over: str
    log_level: str | None
    interval_s: float


@dataclass(frozen=True)
class Started:
    """The job is deployed, and nothing is processed yet."""

    report: JobReport


@dataclass(frozen=True)
class Progressed:
    """How it is getting on."""

    report: JobReport


@dataclass(frozen=True)
class Ended:
    """The job is over.

    Attributes:
        report: None when it was never launched.
        result: a JobExecutionResult, if it has one.
        error: else why.
        cause: of the error, where it can be sent.
    """

    report: JobReport | None
    result: Any = None
    error: BaseException | None = None
    cause: BaseException | None = None


def main(argument: str) -> None:
    """The whole life of the process.

    Args:
        argument: JSON: the file descriptor of its connection.
    """
    leave_signals_to_the_program()
    connection = Connection(json.loads(argument)["control"])
    JobManagerProcess(connection, user_code.loads(connection.recv_bytes())).run()


class JobManagerProcess:
    """Runs the job, and tells the program.

    Attributes:
        interval_s: as an observer of the execution.
    """

    def __init__(self, connection: Connection, program: JobProgram) -> None:
        self._connection = connection
        self._program = program
        self._execution: Execution | None = None
        self._wishes: list[Wish] = []
        self._lock = threading.Lock()
        self._report: JobReport | None = None
        self.interval_s = program.interval_s

    def run(self) -> None:
        """Returns when the job is over and the program knows."""
        threading.Thread(target=self._listen, name="millstream-program", daemon=True).start()
        try:
            graph, settings = self._loaded()
            job = Launcher(settings, default_manager(), takes_over=self._program.takes_over).launch(graph)
            Execution.observer = self
            execution = Execution(job, settings)
            with self._lock:
                self._execution = execution
                wishes = list(self._wishes)
            for wish in wishes:
                self._grant(execution, wish)
            ended = Ended(None, execution.run())
        except BaseException as error:  # noqa: BLE001 - the program raises it
            ended = Ended(None, None, error, error.__cause__)
        self._tell_end(ended)

    def _loaded(self) -> tuple[Any, Settings]:
        program = self._program
        try:
            user_code.import_main(program.main)
            graph, settings = user_code.loads(program.job)
        except MillstreamError:
            raise
        except (Exception, SystemExit) as error:
            raise JobCodeUnusable.of(error, what="the script of the job", job=program.job_name) from error
        finally:
            gc.enable()
        if program.log_level is not None:
            configure_logging(program.log_level)
        return graph, settings

    # --- what the program says

    def _listen(self) -> None:
        try:
            while True:
                wish: Wish = user_code.loads(self._connection.recv_bytes())
                with self._lock:
                    self._wishes.append(wish)
                    execution = self._execution
                if execution is not None:
                    self._grant(execution, wish)
        finally:
            # The program is gone: no process outlives it. The TaskManagers end with this one.
            os._exit(ORPHANED)

    def _grant(self, execution: Execution, wish: Wish) -> None:
        if wish == "stop":
            execution.stop()
        else:
            execution.break_off()

    # --- what it is told (an Observer)

    def started(self, report: JobReport, settings: Settings) -> None:
        self._tell(Started(report))

    def progress(self, report: JobReport) -> None:
        self._tell(Progressed(report))

    def ended(self, report: JobReport) -> None:
        self._report = report

    def _tell(self, message: object) -> None:
        try:
            self._connection.send_bytes(user_code.dumps(message))
        except OSError:
            os._exit(ORPHANED)

    def _tell_end(self, ended: Ended) -> None:
        report, error = self._report, ended.error
        for said in (
            Ended(report, ended.result, error, ended.cause),
            Ended(report, ended.result, error),  # exceptions of others do not all survive being sent
            Ended(report, None, RuntimeError(f"{type(error).__name__}: {error}" if error else "the result cannot be sent")),
        ):
            try:
                data = user_code.dumps(said)
                user_code.loads(data)
            except Exception:  # noqa: BLE001, S112 - the next form is plainer
                continue
            self._connection.send_bytes(data)
            return


NAME: Final = "job-manager"
"""Of such a process, in lists of processes: `millstream-job-manager`."""
