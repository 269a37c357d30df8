"""Checkpoints that cannot be taken, kept or read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class DamagedCheckpoint(MillstreamError):
    """A checkpoint that does not verify."""

    code: ClassVar[str] = "damaged-checkpoint"
    where: str
    what: str

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.where} is damaged: {self.what}. Nothing was restored from it. Restore an older retained checkpoint with "
            "--resume PATH, or bring the file back from a copy."
        )


@dataclass(kw_only=True, eq=False)
class UnknownCheckpointFormat(MillstreamError):
    """A checkpoint of a format that this release does not read."""

    code: ClassVar[str] = "unknown-checkpoint-format"
    where: str
    found: int
    known: int

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.where} has format {self.found}; this release reads format {self.known}. "
            "Restore it with the release that wrote it, or a later one."
        )


@dataclass(kw_only=True, eq=False)
class UnknownStateVersion(MillstreamError):
    """A part of a checkpoint in a layout that this release does not read."""

    code: ClassVar[str] = "unknown-state-version"
    what: str
    found: int
    known: int

    def sentence(self) -> str:
        return (
            f"{self.what} was written in version {self.found} of its layout; this release reads version {self.known}. "
            "Restore the checkpoint with the release that wrote it, or a later one."
        )


@dataclass(kw_only=True, eq=False)
class LeaderFenced(MillstreamError):
    """Another JobManager has taken over the job's checkpoints."""

    code: ClassVar[str] = "leader-fenced"
    job_name: str
    epoch: int
    newer: int

    def sentence(self) -> str:
        return (
            f"Leader {self.epoch} of job {self.job_name!r} has been replaced by leader {self.newer}, which owns the checkpoints now; this "
            "process wrote nothing and must end. Run one job of a name at a time, or give the second another name."
        )


@dataclass(kw_only=True, eq=False)
class CheckpointFailed(MillstreamError):
    """More checkpoints failed in a row than the job tolerates."""

    code: ClassVar[str] = "checkpoint-failed"
    permanent: ClassVar[bool] = False
    checkpoint_id: int
    reason: str
    tolerated: int

    def likeness(self) -> str:
        # Ids are never used again, and reasons name files, keys and addresses: with their numbers no two failures would be the same.
        return f"{type(self).__name__}: {re.sub(r'0x[0-9a-f]+|[0-9]+', '#', self.reason)}"

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.checkpoint_id} failed: {self.reason.rstrip('.')}. The last completed checkpoint is intact. The job tolerates "
            f"{self.tolerated} failed checkpoints in a row (checkpoint.tolerable_failures); remove the cause or raise that number."
        )


@dataclass(kw_only=True, eq=False)
class CheckpointStorageFailed(MillstreamError):
    """What a job keeps beside its checkpoints, such as the record of its run, could not be read or written."""

    code: ClassVar[str] = "checkpoint-storage-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    where: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The checkpoint storage of job {self.job_name!r} at {self.where} cannot be used: {self.reason.rstrip('.')}. Checkpoints that are "
            "there are left as they are. See that the user who runs the job may write there and that there is room, or set "
            "checkpoint.storage to another place."
        )


@dataclass(kw_only=True, eq=False)
class CheckpointFileTooLarge(MillstreamError, OSError):
    """A checkpoint file beyond what the memory checkpoint storage takes."""

    code: ClassVar[str] = "checkpoint-file-too-large"
    where: str
    limit_bytes: int

    def sentence(self) -> str:
        return (
            f"{self.where} is larger than {self.limit_bytes} bytes, the limit of the memory checkpoint storage. Keep checkpoints in files "
            "with set_checkpoint_storage('/path/to/folder'), or raise limit_bytes."
        )


@dataclass(kw_only=True, eq=False)
class NoDurableStorage(MillstreamError):
    """Checkpointing is on, but nobody said where checkpoints go."""

    code: ClassVar[str] = "no-checkpoint-storage"
    job_name: str

    def sentence(self) -> str:
        return (
            f"Job {self.job_name!r} takes checkpoints, but checkpoint.storage is not set. Give a folder, for example "
            "env.checkpoint_config.set_checkpoint_storage('./checkpoints'), or 'memory' for tests."
        )


@dataclass(kw_only=True, eq=False)
class NoCheckpoints(MillstreamError):
    """A path given to look at checkpoints that holds none."""

    code: ClassVar[str] = "no-checkpoints"
    path: str
    why: str

    def sentence(self) -> str:
        return (
            f"There are no checkpoints at {self.path}: {self.why}. Give a checkpoint folder, the folder of a job in it, or that of one "
            "checkpoint (…/chk-12)."
        )
