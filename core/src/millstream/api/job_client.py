"""A job that runs on a thread of its own, seen by the program that started it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from millstream.errors import JobStillRunning, SavepointFailed, SavepointPending
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.api.execution import Execution
    from millstream.checkpoint.savepoint import Done
    from millstream.runtime.job_status import JobExecutionResult

_LOOK_S: Final = 0.2
"""How often it is looked whether a job whose answer is awaited has ended without giving one."""


class JobClient:
    """What `execute_async` returns."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"millstream-job-{execution.job.job_name}", daemon=True)

    def start(self) -> None:
        """Begins the job."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._execution.run()
        except BaseException as error:  # noqa: BLE001 - raised by result(), on the thread that asks
            self._error = error

    def status(self) -> JobStatus:
        """What the job is doing."""
        manager = self._execution.job.job_manager
        return manager.status if manager is not None else JobStatus.FINISHED

    def savepoint(self, target: str | os.PathLike[str] | None = None, timeout_s: float | None = None) -> str:
        """Takes a savepoint while the job runs on, and waits for it. Where it is, for `--resume`.

        Nothing is committed for it, and the engine neither goes on from it by itself nor ever deletes it.

        Args:
            target: folder or URL below which it goes, in a folder of its own; None for the setting `checkpoint.savepoint_dir`.
            timeout_s: how long to wait, in seconds; None for as long as it takes. The savepoint is taken all the same.

        Raises:
            SavepointFailed: there is none; the job is as it was. What was written is removed.
            NoSavepointTarget, SavepointsUnsupported, UnknownPlugin: there can be none at that target.
            SavepointPending: it was not complete within `timeout_s`.
        """
        where = os.fspath(target) if target is not None else None
        return self._wait_for("savepoint", lambda done: self._execution.savepoint(where, done), timeout_s) or ""

    def stop(self, *, drain: bool = False, savepoint: str | os.PathLike[str] | bool = False, timeout_s: float | None = None) -> str | None:
        """Asks the job to end with one more checkpoint, which is kept. With `savepoint`, waits for the end, and tells where that is.

        Args:
            drain: let event time end first, so that all windows and timers fire: the job has FINISHED then, and else is SUSPENDED.
            savepoint: take a savepoint as well, below this folder or URL; True for the setting `checkpoint.savepoint_dir`. It holds
                everything up to the end of the job, and what it holds is committed.
            timeout_s: how long to wait for a savepoint, in seconds; None for as long as it takes.

        Raises:
            SavepointFailed, StopFailed: the job was not stopped, or ended in another way.
            NoSavepointTarget, SavepointsUnsupported, UnknownPlugin: there can be no savepoint at that target; the job runs on.
            SavepointPending: it was not complete within `timeout_s`.
        """
        if savepoint is False:
            self._execution.stop(drain=drain)
            return None
        target: str | bool = savepoint if isinstance(savepoint, bool) else os.fspath(savepoint)
        return self._wait_for("end", lambda done: self._execution.stop(drain=drain, savepoint=target, done=done), timeout_s)

    def _wait_for(self, what: str, ask: Callable[[Done], None], timeout_s: float | None) -> str | None:
        answers: list[tuple[str | None, Exception | None]] = []
        answered = threading.Event()

        def done(path: str | None, error: Exception | None) -> None:
            answers.append((path, error))
            answered.set()

        job, now_s = self._execution.job, self._execution.job.ports.clock.monotonic_s
        over_s = None if timeout_s is None else now_s() + timeout_s
        ask(done)
        while True:
            ended = not self._thread.is_alive()  # before the look: its last word may be the answer
            if answered.wait(_LOOK_S if over_s is None else max(0.0, min(_LOOK_S, over_s - now_s()))):
                path, error = answers[0]
                if error is not None:
                    raise error
                return path
            if ended:
                raise SavepointFailed(job_name=job.job_name, reason="the job has ended", fix="Ask for it while the job runs.")
            if over_s is not None and now_s() >= over_s:
                raise SavepointPending(job_name=job.job_name, what=what, timeout_s=timeout_s or 0.0)

    def cancel(self) -> None:
        """Asks the job to end now."""
        self._execution.cancel()

    def result(self, timeout_s: float | None = None) -> JobExecutionResult:
        """Waits for the end.

        Raises:
            JobStillRunning: it did not come within `timeout_s`.
            JobFailedError: the job failed.
        """
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise JobStillRunning(job_name=self._execution.job.job_name, timeout_s=timeout_s or 0.0)
        if self._error is not None:
            raise self._error
        return self._execution.job.result()
