"""Sinks that prepare at the barrier and commit when the checkpoint is durable.

Guarantee: exactly once, when prepared work outlives the process and `commit` is idempotent.

Order on recovery, kept by the engine: `open` (fences older attempts of the owned lanes), `commit` for every epoch of the restored
checkpoint in order, `abort_lingering`, then the first record. Never is an epoch of a restored checkpoint aborted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from millstream.contracts.sink import BaseSink, SinkContext

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Committed:
    """The epoch is visible now.

    Attributes:
        already: it was so before this call.
    """

    already: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """The target cannot say or do it just now; the same commit is tried again.

    Attributes:
        after_s: how long to wait first, >= 0.
        reason: for the log.
    """

    after_s: float
    reason: str


CommitOutcome: TypeAlias = Committed | Retry


class TwoPhaseCommitWriter(ABC, Generic[T]):
    """Writes and commits for one subtask. Called on the mailbox thread."""

    @abstractmethod
    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        """Writes records into the open epoch, where no reader sees them."""

    @abstractmethod
    def prepare(self, checkpoint_id: int) -> bytes | None:
        """Seals the open epoch so that `commit` will succeed from any process, and starts the next.

        Returns:
            What `commit` needs to find it (version it: it may be read by a later release), or None for an empty epoch.
        """

    @abstractmethod
    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        """Makes a prepared epoch visible. Idempotent.

        Raises:
            LostEpoch: the target has neither the prepared work nor a proof that it was committed.
            Fenced: a newer attempt owns the lane.
        """

    @abstractmethod
    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        """Removes what earlier attempts of the owned lanes prepared or left open, except the committables in `keep`."""

    def newest_committed(self, lane: int) -> int | None:
        """Id of the newest checkpoint of this run whose epoch is committed in the lane, where the target can tell; else None.

        The engine refuses to restore a checkpoint that is older: its records would be written again.
        """
        return None

    def close(self) -> None:
        """Abandons the open epoch and releases everything. Prepared epochs stay."""


class TwoPhaseCommitSink(BaseSink[T]):
    """A sink with prepare and commit."""

    @abstractmethod
    def open(self, context: SinkContext) -> TwoPhaseCommitWriter[T]:
        """Connects, and fences older attempts of `context.owned_lanes` where the target can."""
