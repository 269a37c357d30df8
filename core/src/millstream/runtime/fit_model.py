"""How a checkpoint fits a job, as plain data: what a restore does with each state, and why it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millstream.errors import RestoreMismatch

Verdict = Literal["matched", "retyped", "at open", "new", "dropped", "refused"]
"""`retyped`: read as it was written, then written as it is declared now. `at open`: known when the function declares it."""


@dataclass(frozen=True)
class StateFit:
    """One state of an operator.

    Attributes:
        kind: as the engine names it.
        entries: entries or items in the checkpoint.
        note: how it is dealt out, what differs, or why it is refused.
    """

    name: str
    kind: str
    verdict: Verdict
    entries: int = 0
    note: str = ""


@dataclass(frozen=True)
class OperatorFit:
    """One operator. What is None is not there: an operator is dropped, or new."""

    uid: str
    name: str
    verdict: Literal["matched", "new", "dropped"]
    old_parallelism: int | None
    parallelism: int | None
    old_max_parallelism: int | None
    max_parallelism: int | None
    states: list[StateFit] = field(default_factory=list)


@dataclass
class Fit:
    """A checkpoint and a job.

    Attributes:
        checkpoint: where it is.
        mismatches: why the restore is refused, each with the fix; none when it is accepted.
        left_behind: what the restore gives up because the job allows it.
    """

    job: str
    checkpoint: str
    checkpoint_id: int
    kind: str
    operators: list[OperatorFit] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether a restore would begin. What functions declare when they are opened may still be refused, before any record."""
        return not self.mismatches

    def check(self) -> None:
        """Raises RestoreMismatch, with everything that does not fit."""
        if self.mismatches:
            raise RestoreMismatch(where=self.checkpoint, job_name=self.job, mismatches=tuple(self.mismatches))
