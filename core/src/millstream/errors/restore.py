"""Checkpoints that a job cannot go on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class RestoreMismatch(MillstreamError):
    """A checkpoint that does not fit the job. `mismatches` has everything that does not fit, each with the fix."""

    code: ClassVar[str] = "restore-mismatch"
    where: str
    job_name: str
    mismatches: tuple[str, ...]

    def sentence(self) -> str:
        head = f"Checkpoint {self.where} does not fit job {self.job_name!r}"
        if len(self.mismatches) == 1:
            return f"{head}: {self.mismatches[0]}"
        return "\n".join([f"{head}, for {len(self.mismatches)} reasons:", *(f"  {n}. {each}" for n, each in enumerate(self.mismatches, 1))])


@dataclass(kw_only=True, eq=False)
class ResumeUndecided(MillstreamError):
    """Retained checkpoints of an unfinished run, and no word on what to do with them."""

    code: ClassVar[str] = "resume-undecided"
    job_name: str
    location: str
    checkpoint_id: int

    def sentence(self) -> str:
        return (
            f"An unfinished run of job {self.job_name!r} left checkpoint {self.checkpoint_id} at {self.location}. Say what to do with it: "
            "--resume auto goes on from it, --resume never starts afresh, --resume PATH takes another one (setting job.resume)."
        )


@dataclass(kw_only=True, eq=False)
class NoCheckpointToResume(MillstreamError):
    """A path given to resume from that holds no checkpoint."""

    code: ClassVar[str] = "no-checkpoint"
    path: str
    why: str

    def sentence(self) -> str:
        return f"There is no checkpoint to resume from at {self.path}: {self.why}. Give the folder of one checkpoint (…/chk-12), or --resume auto."


@dataclass(kw_only=True, eq=False)
class StateIncompatible(MillstreamError):
    """A state of the checkpoint cannot be read as the job declares it now. `reason` ends with what to do about it."""

    code: ClassVar[str] = "state-incompatible"
    operator: str
    state: str
    stored: str
    wanted: str
    reason: str

    def sentence(self) -> str:
        return (
            f"State {self.state!r} of operator {self.operator!r} was stored as {self.stored} and is declared as {self.wanted} now, which "
            f"cannot read it: {self.reason} No record has been processed. To give the state up instead, start afresh with --resume never."
        )


@dataclass(kw_only=True, eq=False)
class UndeclaredState(MillstreamError):
    """A checkpoint holds a state that the operator no longer declares."""

    code: ClassVar[str] = "undeclared-state"
    operator: str
    uid: str
    state: str

    def sentence(self) -> str:
        return (
            f"The checkpoint holds state {self.state!r} of operator {self.operator!r} (uid {self.uid!r}), which the operator does not declare in "
            "open(). It would be lost. Declare it (and clear it where it is no longer needed), or leave it behind with --allow-non-restored-state "
            "(setting job.allow_non_restored_state)."
        )
