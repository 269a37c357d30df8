"""Tasks and processes of a job, and what is sent between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError
from millstream.errors.frames import raised_at, user_frames


@dataclass(kw_only=True, eq=False)
class TaskFailed(MillstreamError):
    """A task ended with an exception that nobody on its way knew: of a connector, a backend, the system.

    Attributes:
        error: type and message of the exception.
        notes: what was noted on it.
        line: where it was raised, `file:line in function: code`.
    """

    code: ClassVar[str] = "task-failed"
    permanent: ClassVar[bool] = False
    error: str
    notes: tuple[str, ...]
    line: str
    task: str
    subtask: int
    job: str

    @classmethod
    def of(cls, error: Exception, *, task: str, subtask: int, job: str) -> TaskFailed:
        """From the exception."""
        notes = tuple(getattr(error, "__notes__", ()))
        made = cls(error=f"{type(error).__name__}: {error}", notes=notes, line=raised_at(error), task=task, subtask=subtask, job=job)
        made.__cause__ = error
        return made

    def likeness(self) -> str:
        # The same trouble of another subtask is the same trouble.
        return self.error

    def sentence(self) -> str:
        return (
            "\n".join([self.error, *self.notes, f"  {self.line}"])
            + f"\nraised in task {self.task!r}, subtask {self.subtask} of job {self.job!r}. See whether what the task reads and writes can be "
            "reached and used; correct what raised it, if that is code of your own."
        )


@dataclass(kw_only=True, eq=False)
class TaskManagerLost(MillstreamError):
    """A task manager that ran tasks of the job is gone. `reason` is what is known of its end."""

    code: ClassVar[str] = "task-manager-lost"
    permanent: ClassVar[bool] = False
    task_manager: str
    job: str
    reason: str

    def likeness(self) -> str:
        # The next one has another name. What a record does to each process that meets it must not look new each time.
        return f"{type(self).__name__}: {self.reason}"

    def sentence(self) -> str:
        return (
            f"Task manager {self.task_manager} of job {self.job!r} was lost: {self.reason.rstrip('.')}. If nobody ended it, see the log of the "
            "system: where memory runs out, the kernel kills processes. Give the job more of it, less state, or fewer processes then."
        )


@dataclass(kw_only=True, eq=False)
class JobManagerLost(MillstreamError):
    """The process with the JobManager of a job is gone. `end` is how it ended."""

    code: ClassVar[str] = "job-manager-lost"
    permanent: ClassVar[bool] = False
    job: str
    end: str

    def sentence(self) -> str:
        return (
            f"The JobManager of job {self.job!r} was lost: {self.end}. If nobody ended it, see the log of the system: where memory runs out, "
            "the kernel kills processes."
        )


@dataclass(kw_only=True, eq=False)
class RecordNotSendable(MillstreamError):
    """A record cannot go from one process to another."""

    code: ClassVar[str] = "record-not-sendable"
    record: str
    reason: str
    task: str
    subtask: int
    job: str

    def sentence(self) -> str:
        return (
            f"Record {self.record} cannot be sent to another process: {self.reason}\nIt was emitted by task {self.task!r}, subtask "
            f"{self.subtask} of job {self.job!r}. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class JobNotSendable(MillstreamError):
    """Something of a job cannot go to another process: a function of the user's, or what it refers to."""

    code: ClassVar[str] = "job-not-sendable"
    job: str
    task: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Task {self.task!r} of job {self.job!r} cannot be sent to another process: {self.reason}. A function may not refer to open files, "
            "connections, locks or the like: make them in open() of a rich function. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class JobCodeUnusable(MillstreamError):
    """A TaskManager process cannot import the script of the job, or what the job's functions need.

    Attributes:
        what: that could not be loaded.
        error: type and message of what it raised.
        line: where, `file:line in function: code`.
    """

    code: ClassVar[str] = "job-code-unusable"
    what: str
    job: str
    error: str
    line: str

    @classmethod
    def of(cls, error: BaseException, *, what: str, job: str) -> JobCodeUnusable:
        """From the exception."""
        own = user_frames(error)
        line = f"{own[-1].filename}:{own[-1].lineno} in {own[-1].name}: {own[-1].line}" if own else ""
        made = cls(what=what, job=job, error=f"{type(error).__name__}: {error}", line=line)
        made.__cause__ = error
        return made

    def sentence(self) -> str:
        return (
            f"{self.error}\n  {self.line}\nraised while a process of job {self.job!r} loaded {self.what}. Such a process imports the script and its "
            'modules anew: functions and classes belong at the top level of a module, outside of `if __name__ == "__main__":`, and '
            "modules where that process finds them. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class MissingMainGuard(MillstreamError):
    """The script starts its job also when it is only imported."""

    code: ClassVar[str] = "missing-main-guard"
    script: str

    def sentence(self) -> str:
        return (
            f"{self.script} executes a job when it is imported, which each process of a job with several processes does. Put what builds and "
            'executes the job into a function and call that at the end of the script, under\n\n    if __name__ == "__main__":\n        main()\n\n'
            "Or run the job in one process (execution.processes=none)."
        )
