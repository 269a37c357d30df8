"""Runs jobs whose JobManager is in a process of its own, and replaces it when it dies."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.api.execution import Execution
from millstream.api.job_manager_process import NAME, Ended, JobProgram, Progressed, Started
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import InvalidArgument, JobFailedError, JobManagerLost, MillstreamError, MissingMainGuard
from millstream.plugins import default_manager
from millstream.ports import LocalStorage, SeededRandom
from millstream.runtime import user_code
from millstream.runtime.job_status import JobStatus
from millstream.runtime.log import is_configured
from millstream.runtime.processes.start import start_process
from millstream.runtime.restart import make_restart_strategy
from millstream.runtime.storages import find_checkpoint_storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from millstream.api.job_manager_process import Wish
    from millstream.config import Settings
    from millstream.graph.job_graph import JobGraph
    from millstream.plugins import PluginManager
    from millstream.runtime.job_report import JobReport
    from millstream.runtime.job_status import JobExecutionResult
    from millstream.runtime.processes.output import ForwardedOutput

log = logging.getLogger(__name__)

_REPORT_S: Final = 1.0
"""Time between reports where nobody watches: they tell whether there was a checkpoint."""

_LOOK_S: Final = 0.1
"""Time between looks at what the process has written, where that does not go to the terminal by itself."""


class Dispatcher:
    """One run of a job, over the lives of its JobManagers.

    A JobManager that dies is a failure like that of a task: the job's restart strategy says whether and when the next one takes over the
    run, with a new leader epoch, from its newest completed checkpoint. Its TaskManagers end with it.

    Raises:
        InvalidArgument: the job cannot have its JobManager in another process.
    """

    def __init__(self, graph: JobGraph, settings: Settings, plugins: PluginManager) -> None:
        script = user_code.script_being_imported()
        if script is not None:
            raise MissingMainGuard(script=script)
        if settings.execution.processes is None:
            raise InvalidArgument(
                what="execution.job_manager", value="'process'", allowed="'client', or execution.processes as well: without that there is one process"
            )
        if plugins is not default_manager():
            raise InvalidArgument(what="execution.job_manager", value="'process'", allowed="'client': there are plugins that only this process has")
        self._graph = graph
        self._settings = settings
        self._strategy = make_restart_strategy(
            settings.restart, checkpointing=settings.checkpoint.interval is not None, random=SeededRandom(settings.execution.seed).fork("restart")
        )
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wishes: list[Wish] = []
        self._run_id = ""
        self._last: JobReport | None = None
        self._losses = 0

    def run(self) -> JobExecutionResult:
        """Runs the job until it is over.

        Raises:
            JobFailedError: it failed, or its JobManagers died too often.
            KeyboardInterrupt: it was interrupted twice.
        """
        with self._handled_signals():
            while True:
                ended, code = self._one_life()
                if ended is None and self._wishes.count("end") == 0:
                    self._lost(code)
                    continue
                return self._finish(ended)

    def _finish(self, ended: Ended | None) -> JobExecutionResult:
        observer = Execution.observer
        report = ended.report if ended is not None and ended.report is not None else self._last
        if observer is not None and report is not None:
            observer.ended(report)
        if ended is None or "end" in self._wishes:
            raise KeyboardInterrupt
        if ended.error is not None:
            raise ended.error from ended.cause
        result: JobExecutionResult = ended.result
        return replace(result, restarts=result.restarts + self._losses)

    # --- one JobManager

    def _one_life(self) -> tuple[Ended | None, int]:
        """What it said at its end, None if it died; and its exit code."""
        here, there = socket.socketpair()
        with there:
            process, outputs = start_process(NAME, "millstream.api.job_manager_process", {"control": there.fileno()}, [there.fileno()])
        self._process = process
        connection = Connection(here.detach())
        try:
            self._send(connection, self._program())
            for wish in list(self._wishes):
                self._send(connection, wish)
            self._connection = connection
            ended = self._listen(connection, outputs)
        finally:
            self._connection = None
            connection.close()
            if process.poll() is None:
                _wait(process, 10.0)
            for output in outputs:
                output.forward()
                output.close()
        return ended, process.returncode

    def _program(self) -> bytes:
        settings = self._settings
        if self._run_id:  # whatever the first start was told: this one goes on
            settings = replace(settings, job=replace(settings.job, resume="auto", rewind=False))
        elif self._losses and settings.job.resume == "ask":
            settings = replace(settings, job=replace(settings.job, resume="auto"))
        level = logging.getLevelName(logging.getLogger().level) if is_configured() else None
        observer = Execution.observer
        interval_s = min(observer.interval_s, _REPORT_S) if observer is not None else _REPORT_S
        job = user_code.dumps((self._graph, settings))
        return user_code.dumps(JobProgram(self._graph.job_name, user_code.main_module(), job, self._run_id, level, interval_s))

    def _send(self, connection: Connection, message: object) -> None:
        try:
            connection.send_bytes(message if isinstance(message, bytes) else user_code.dumps(message))
        except OSError:
            log.debug("the JobManager of job %s is gone", self._graph.job_name)

    def _listen(self, connection: Connection, outputs: tuple[ForwardedOutput, ...]) -> Ended | None:
        while True:
            try:
                while not connection.poll(_LOOK_S if outputs else None):
                    for output in outputs:
                        output.forward()
                message = user_code.loads(connection.recv_bytes())
            except (EOFError, OSError):
                return None
            for output in outputs:
                output.forward()
            if isinstance(message, Ended):
                return message
            self._note(message)

    def _note(self, message: Any) -> None:
        observer = Execution.observer
        report: JobReport = message.report
        if self._last is None or report.checkpoints.last_id != self._last.checkpoints.last_id:
            self._strategy.checkpoint_completed()
        first, self._last = self._last is None, report
        self._run_id = report.run_id
        if observer is not None and isinstance(message, Started) and first:
            observer.started(report, self._settings)
        elif observer is not None and isinstance(message, Progressed):
            observer.progress(report)

    def _lost(self, code: int) -> None:
        """Waits for as long as the strategy says. Raises JobFailedError when it says that it is enough."""
        self._losses += 1
        lost = JobManagerLost(job=self._graph.job_name, end=_end(code))
        delay_s = self._strategy.delay_s(time.monotonic(), f"JobManagerLost: {lost}") if self._may_go_on() else None
        if delay_s is None:
            observer = Execution.observer
            if observer is not None and self._last is not None:
                observer.ended(msgspec.structs.replace(self._last, status=JobStatus.FAILED.value, problem=str(lost)))
            restarts = self._losses - 1
            raise JobFailedError(
                job_name=self._graph.job_name, cause=str(lost), restarts=restarts, last_checkpoint=self._newest_checkpoint()
            ) from lost
        log.warning("%s Another one takes over in %.1f s.", lost, delay_s)
        time.sleep(delay_s)

    def _may_go_on(self) -> bool:
        config = self._settings.checkpoint
        # Checkpoints in memory were in that of the process.
        return config.interval is None or (config.storage is not None and find_checkpoint_storage(default_manager(), config.storage).durable)

    def _newest_checkpoint(self) -> str | None:
        """Where it is: the process may have died before it said so."""
        if self._settings.checkpoint.storage is None or not self._may_go_on():
            return None
        try:
            storage = find_checkpoint_storage(default_manager(), self._settings.checkpoint.storage)
            store = storage.open(CheckpointStorageContext(self._graph.job_name, LocalStorage()))
            published = store.published()
        except (OSError, MillstreamError):
            return None
        return store.location(published[-1]) if published else None

    # --- signals

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if len(self._wishes) >= 2:
            if self._process is not None:
                self._process.kill()
            raise KeyboardInterrupt
        wish: Wish = "end" if self._wishes else "stop"
        self._wishes.append(wish)
        if self._connection is not None:
            self._send(self._connection, wish)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        return f"its process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was killed by signal {-code}"
