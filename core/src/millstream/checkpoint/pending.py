"""A checkpoint under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from millstream.checkpoint.manifest import TaskState
    from millstream.checkpoint.savepoint import SavepointPlace, SavepointRequest
    from millstream.graph.execution_graph import SubtaskId

Purpose: TypeAlias = Literal["periodic", "final", "stop", "savepoint"]
"""`final`: the input has ended. `stop`: nothing is read behind it. `savepoint`: the job runs on."""


@dataclass
class PendingCheckpoint:
    """A checkpoint, or savepoint, that was triggered.

    Attributes:
        started_s: monotonic time of the trigger.
        expected: number of tasks.
        enumerators: state of the split enumerators by source uid.
        states: what tasks have acknowledged.
        storing: its manifest is on its way to the store.
        request: who asked for a savepoint, if it is one, or is to be one as well.
        place: where that goes.
    """

    checkpoint_id: int
    purpose: Purpose
    triggered_ms: int
    started_s: float
    expected: int
    enumerators: dict[str, bytes]
    states: dict[SubtaskId, TaskState] = field(default_factory=dict)
    storing: bool = False
    request: SavepointRequest | None = None
    place: SavepointPlace | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is one of the job's own checkpoints: then it is committed, counted, subsumed and recovered from."""
        return self.purpose != "savepoint"

    @property
    def is_last(self) -> bool:
        """Whether the job ends with it."""
        return self.purpose in ("final", "stop")

    @property
    def is_acknowledged(self) -> bool:
        """Whether every task has stored its state."""
        return len(self.states) == self.expected

    def __str__(self) -> str:
        return f"{'checkpoint' if self.place is None else 'savepoint'} {self.checkpoint_id}"
