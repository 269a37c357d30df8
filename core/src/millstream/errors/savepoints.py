"""Savepoints, and stopping with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class SavepointFailed(MillstreamError):
    """A savepoint could not be taken, or the job could not be stopped as it was asked to. What was written of the savepoint is removed."""

    code: ClassVar[str] = "savepoint-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"The savepoint of job {self.job_name!r} failed: {self.reason.rstrip('.')}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SavepointPending(MillstreamError):
    """A savepoint, or the end of a job with one, was not there within the time that somebody would wait."""

    code: ClassVar[str] = "savepoint-pending"
    job_name: str
    what: str
    timeout_s: float

    def sentence(self) -> str:
        return (
            f"The {self.what} of job {self.job_name!r} was not there after {self.timeout_s:g} s. It may still come; wait longer, or see what "
            "holds the job up."
        )


@dataclass(kw_only=True, eq=False)
class StopFailed(MillstreamError):
    """A job did not end in the way that `stop` asked for."""

    code: ClassVar[str] = "stop-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"Job {self.job_name!r} was not stopped: {self.reason.rstrip('.')}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SavepointsUnsupported(MillstreamError):
    """A place for savepoints whose storage keeps none."""

    code: ClassVar[str] = "savepoints-unsupported"
    target: str
    storage: str

    def sentence(self) -> str:
        return (
            f"There can be no savepoint at {self.target}: {self.storage} does not keep any. Give a folder that every process of the job reaches, "
            "or the URL of a storage that outlives the job."
        )


@dataclass(kw_only=True, eq=False)
class NoSavepointTarget(MillstreamError):
    """A savepoint was asked for without saying where it goes."""

    code: ClassVar[str] = "savepoint-target-missing"
    job_name: str

    def sentence(self) -> str:
        return f"It is not known where the savepoint of job {self.job_name!r} goes. Give a folder, or set checkpoint.savepoint_dir."
