"""A target that keeps a marker beside the records, and the write-ahead sink that writes to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.ports import crash_point
from millstream.testing.targets import ContractBroken, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import SinkContext

T = TypeVar("T")


class LedgerTarget(Target[T]):
    """A database that takes records and a lane's marker in one transaction.

    Args:
        max_commit_records: the most records in one transaction; None for no limit.
    """

    def __init__(self, busy: float = 0.0, seed: int = 0, max_commit_records: int | None = None) -> None:
        super().__init__(busy, seed)
        self.max_commit_records = max_commit_records
        self.markers: dict[tuple[str, str, int], Marker] = {}

    def sink(self, record_type: Any = None) -> LedgerSink[T]:
        """A sink that writes here."""
        return LedgerSink(self, record_type)


@dataclass(frozen=True, eq=False)
class LedgerSink(WriteAheadSink[T]):
    """Writes to a LedgerTarget."""

    target: LedgerTarget[T]
    record_type: Any = None
    capabilities: SinkCapabilities = field(init=False, repr=False)

    def __post_init__(self) -> None:
        capabilities = SinkCapabilities(
            kind="write_ahead", atomic_marker=True, fencing=True, visible_only_committed=True, max_commit_records=self.target.max_commit_records
        )
        object.__setattr__(self, "capabilities", capabilities)

    def open(self, context: SinkContext) -> LedgerLanes[T]:
        return LedgerLanes(self.target, context)


class LedgerLanes(WriteAheadLanes[T]):
    """One client of the database."""

    def __init__(self, target: LedgerTarget[T], context: SinkContext) -> None:
        self._target = target
        self._context = context
        self._tokens: dict[int, int] = {}

    def _key(self, lane: int) -> tuple[str, str, int]:
        return self._context.run_id, self._context.sink_uid, lane

    def fence(self, lane: int) -> None:
        self._tokens[lane] = self._target.fence(self._context.sink_uid, lane)

    def read_marker(self, lane: int) -> Marker | None:
        self._target.check_fence(self._context, lane, self._tokens.get(lane))
        return self._target.markers.get(self._key(lane))

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[T]) -> None:
        self._target.check_fence(self._context, lane, self._tokens.get(lane))
        before, after = self._target.markers.get(self._key(lane)), Marker(checkpoint_id, chunk)
        if before is not None and after <= before:
            raise ContractBroken(f"lane {lane} is at {before}, and {after} was committed again")
        limit = self._target.max_commit_records
        if not records or (limit is not None and len(records) > limit):
            raise ContractBroken(f"a commit of {len(records)} records; the limit is {limit}")
        busy = self._target.is_busy()
        if busy and not self._target.is_late():
            raise ConnectionError("the server is busy")
        crash_point("sink.commit.mid")
        # One transaction: whoever stood still in it commits nothing when somebody else has taken the lane meanwhile.
        self._target.check_fence(self._context, lane, self._tokens.get(lane))
        self._target.show(self._context, self._context.run_id, lane, checkpoint_id, records)
        self._target.markers[self._key(lane)] = after
        crash_point("sink.commit.applied_no_ack")
        if busy:
            raise ConnectionError("the answer was lost")
