"""Jobs that failed or are still running, and asking them for something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError, did_you_mean


@dataclass(kw_only=True, eq=False)
class JobFailedError(MillstreamError):
    """A job ended as FAILED."""

    code: ClassVar[str] = "job-failed"
    job_name: str
    cause: str
    restarts: int
    last_checkpoint: str | None

    def sentence(self) -> str:
        kept = f" Its last checkpoint is kept at {self.last_checkpoint}." if self.last_checkpoint else ""
        again = f" after {self.restarts} restarts" if self.restarts else ""
        return f"{self.cause}\nJob {self.job_name!r} failed{again}.{kept}"


@dataclass(kw_only=True, eq=False)
class JobStillRunning(MillstreamError):
    """A job did not end within the time that somebody would wait."""

    code: ClassVar[str] = "job-still-running"
    job_name: str
    timeout_s: float

    def sentence(self) -> str:
        return f"Job {self.job_name!r} did not end within {self.timeout_s:g} s. Wait longer, or end it with stop() or cancel()."


@dataclass(kw_only=True, eq=False)
class ControlFolderUnusable(MillstreamError):
    """The folder where running jobs have their sockets cannot be used, or others could reach into it."""

    code: ClassVar[str] = "control-folder-unusable"
    path: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The folder {self.path}, where running jobs can be reached, cannot be used: {self.reason}. Remove it, or name another one that "
            "belongs to you alone with control.folder."
        )


@dataclass(kw_only=True, eq=False)
class ControlRequestInvalid(MillstreamError):
    """What came over the socket of a running job is no request, or no answer, of this version."""

    code: ClassVar[str] = "control-request-invalid"
    reason: str

    def sentence(self) -> str:
        return f"What was said over the socket of a running job is not understood: {self.reason}. Use the same version of millstream for both."


@dataclass(kw_only=True, eq=False)
class UnknownJob(MillstreamError):
    """No running job of this user has that name."""

    code: ClassVar[str] = "unknown-job"
    wanted: str
    running: list[str]

    def sentence(self) -> str:
        known = f"Running: {', '.join(self.running)}" if self.running else "No job of this user runs on this machine"
        return (
            f"There is no running job {self.wanted!r}.{did_you_mean(self.wanted, self.running)} {known}. `millstream jobs` lists them; a job with "
            "control.enabled = false is not among them."
        )


@dataclass(kw_only=True, eq=False)
class AmbiguousJob(MillstreamError):
    """Several running jobs have that name."""

    code: ClassVar[str] = "ambiguous-job"
    wanted: str
    running: list[str]

    def sentence(self) -> str:
        return f"{len(self.running)} running jobs are called {self.wanted!r}. Name one of them: {', '.join(self.running)}."


@dataclass(kw_only=True, eq=False)
class JobUnreachable(MillstreamError):
    """A running job did not answer, or its process ended meanwhile."""

    code: ClassVar[str] = "job-unreachable"
    job: str
    pid: int
    reason: str

    def sentence(self) -> str:
        return f"Job {self.job!r} (process {self.pid}) {self.reason}. `millstream jobs` says whether it still runs."


@dataclass(kw_only=True, eq=False)
class RequestRefused(MillstreamError):
    """A running job does not do what it was asked."""

    code: ClassVar[str] = "request-refused"
    job: str
    reason: str

    def sentence(self) -> str:
        return f"Job {self.job!r} refused: {self.reason}"
