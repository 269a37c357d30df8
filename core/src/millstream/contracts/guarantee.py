"""What a source and a sink can promise, as data: the guarantee of a job is computed from it, never claimed.

A capability is declared by the connector and proved by the conformance kit. Nothing is inferred from which methods a class
overrides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias


class Guarantee(IntEnum):
    """How often the effect of one input record shows, whatever fails. Ordered from weakest to strongest."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2

    @property
    def label(self) -> str:
        """As settings and tables spell it: `exactly_once`."""
        return self.name.lower()


Delivery: TypeAlias = Literal["at_least_once", "exactly_once"]
SinkKind: TypeAlias = Literal["plain", "idempotent", "write_ahead", "two_phase_commit"]


@dataclass(frozen=True, slots=True)
class SourceCapabilities:
    """What a source can do.

    Attributes:
        replayable: it can be read again from a position stored in a checkpoint, and then gives the same records.
        why_not: for a source that is not: the reason, as the end of a sentence about the job's guarantee.
    """

    replayable: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class SinkCapabilities:
    """What a sink can do.

    Attributes:
        kind: the contract it implements. `idempotent` is a plain sink whose writes, repeated, leave the same final state.
        atomic_marker: write-ahead only: records and marker become visible in one atomic step.
        fencing: an older attempt that wakes up after its successor opened can change nothing.
        visible_only_committed: readers (with the right isolation) never see records of an incomplete checkpoint.
        prepared_survives_disconnect: two-phase only: prepared work outlives the process that prepared it.
        prepared_survives_server_kill: two-phase only: prepared work outlives a crash of the target.
        max_prepared_age_s: two-phase only: the target drops prepared work after this time; None is never. A job does not start when its
            checkpoints may take longer.
        max_commit_records: the most records the target takes in one commit; None is no limit.
    """

    kind: SinkKind
    atomic_marker: bool = False
    fencing: bool = False
    visible_only_committed: bool = False
    prepared_survives_disconnect: bool = False
    prepared_survives_server_kill: bool = False
    max_prepared_age_s: float | None = None
    max_commit_records: int | None = None

    def strongest(self) -> Guarantee:
        """What the sink gives behind a replayable source with exactly-once checkpoints."""
        if self.kind == "two_phase_commit":
            holds = self.prepared_survives_disconnect
        elif self.kind == "write_ahead":
            holds = self.atomic_marker and self.fencing
        else:
            holds = self.kind == "idempotent"
        return Guarantee.EXACTLY_ONCE if holds else Guarantee.AT_LEAST_ONCE
