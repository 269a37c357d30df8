"""What listening plugins are told about jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that happened to a job.

    Attributes:
        hook: the hook that is called with the notice.
        job: name of the job.
        run_id: the run: new at each fresh start, kept by a restore.
    """

    hook: ClassVar[str]

    job: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class JobStarted(Notice):
    """All tasks of the job run.

    Attributes:
        attempt: 1 at the start, one more at each restart.
        restored_checkpoint: id of the checkpoint that the attempt continues, or None.
    """

    hook: ClassVar[str] = "millstream_job_started"

    attempt: int
    restored_checkpoint: int | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointCompleted(Notice):
    """A checkpoint or savepoint is durable.

    Attributes:
        checkpoint_id: its id, strictly increasing within the run.
        path: where it is, or None if it is in memory only.
        savepoint: whether it belongs to the user, who asked for it.
        duration_ms: from the trigger to the moment it was durable.
        state_bytes: size of all state it refers to.
    """

    hook: ClassVar[str] = "millstream_checkpoint_completed"

    checkpoint_id: int
    path: str | None = None
    savepoint: bool = False
    duration_ms: int
    state_bytes: int


@dataclass(frozen=True, kw_only=True)
class JobFailed(Notice):
    """The job has failed and is not restarted any more.

    Attributes:
        error_code: `code` of the Millstream error, or the name of the exception's class.
        message: one or more sentences.
        last_checkpoint: path of the newest completed checkpoint that was kept, or None.
    """

    hook: ClassVar[str] = "millstream_job_failed"

    error_code: str
    message: str
    last_checkpoint: str | None = None
