"""A job that runs on a thread of its own, seen by the program that started it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from millstream.errors import JobStillRunning
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    from millstream.api.execution import Execution
    from millstream.runtime.job_status import JobExecutionResult


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

    def stop(self) -> None:
        """Asks the job to end with one more checkpoint, which is kept."""
        self._execution.stop()

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
