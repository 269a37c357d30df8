"""A job as its control socket sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from millstream.runtime.look import look_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.savepoint import Done
    from millstream.runtime.job_manager import JobManager
    from millstream.runtime.job_report import JobReport
    from millstream.runtime.launch import LocalJob


class ControlledJob(Protocol):
    """What can be asked of a job. `post` is safe from any thread; the others are called through it, on the JobManager's thread."""

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` on the JobManager's thread; never, once the job is over."""

    def look(self, *, subtasks: bool) -> JobReport:
        """The job as it is now."""

    def cancel(self) -> None:
        """Ends it now."""

    def stop(self, *, drain: bool, savepoint: str | bool, done: Done) -> None:
        """Ends it with a last checkpoint; see `JobManager.stop`."""

    def savepoint(self, target: str | None, done: Done) -> None:
        """Takes a savepoint; see `JobManager.savepoint`."""


class ControlledLocalJob:
    """A job whose JobManager is in this process."""

    def __init__(self, job: LocalJob, job_manager: JobManager) -> None:
        self._job = job
        self._job_manager = job_manager

    def post(self, action: Callable[[], None]) -> None:
        self._job_manager.post(action)

    def look(self, *, subtasks: bool) -> JobReport:
        return look_at(self._job, subtasks=subtasks)

    def cancel(self) -> None:
        self._job_manager.cancel()

    def stop(self, *, drain: bool, savepoint: str | bool, done: Done) -> None:
        self._job_manager.stop(drain=drain, savepoint=savepoint, done=done)

    def savepoint(self, target: str | None, done: Done) -> None:
        self._job_manager.savepoint(target, done)
