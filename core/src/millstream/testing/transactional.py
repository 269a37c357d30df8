"""A target with transactions, and the two-phase commit sink that writes to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.two_phase_commit import CommitOutcome, Committed, Retry, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.errors import LostEpoch
from millstream.ports import crash_point
from millstream.testing.targets import ContractBroken, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import SinkContext

T = TypeVar("T")

TWO_PHASE: Final = SinkCapabilities(
    kind="two_phase_commit",
    fencing=True,
    visible_only_committed=True,
    prepared_survives_disconnect=True,
    prepared_survives_server_kill=True,
)
BUSY_S: Final = 0.2
"""How long a busy target asks to be left alone."""


@dataclass
class Transaction:
    """A transaction of the server."""

    number: int
    run_id: str
    sink_uid: str
    lane: int
    state: str = "open"
    checkpoint_id: int = 0
    rows: list[Any] = field(default_factory=list)


class TransactionalTarget(Target[T]):
    """A server with transactions that outlive whoever prepared them."""

    def __init__(self, busy: float = 0.0, seed: int = 0) -> None:
        super().__init__(busy, seed)
        self.transactions: dict[int, Transaction] = {}

    def sink(self) -> TransactionalSink[T]:
        """A sink that writes here."""
        return TransactionalSink(self)

    def leftovers(self) -> list[str]:
        return [f"transaction {t.number}: {t.state}" for t in self.transactions.values() if t.state not in ("committed", "aborted")]


@dataclass(frozen=True, eq=False)
class TransactionalSink(TwoPhaseCommitSink[T]):
    """Writes to a TransactionalTarget."""

    target: TransactionalTarget[T]
    capabilities = TWO_PHASE

    def open(self, context: SinkContext) -> TransactionalWriter[T]:
        return TransactionalWriter(self.target, context)


class TransactionalWriter(TwoPhaseCommitWriter[T]):
    """One client of the server."""

    def __init__(self, target: TransactionalTarget[T], context: SinkContext) -> None:
        self._target = target
        self._context = context
        self._tokens = {lane: target.fence(context.sink_uid, lane) for lane in context.owned_lanes}
        self._open: Transaction | None = None
        self._recovered = False

    def _check(self, lane: int) -> None:
        self._target.check_fence(self._context, lane, self._tokens.get(lane))

    def write(self, values: Sequence[T], timestamps: Sequence[int] | None) -> None:
        self._check(self._context.lane)
        if not self._recovered:
            raise ContractBroken("a record came before abort_lingering")
        if self._open is None:
            number = len(self._target.transactions) + 1
            self._open = Transaction(number, self._context.run_id, self._context.sink_uid, self._context.lane)
            self._target.transactions[number] = self._open
        half = len(values) // 2
        self._open.rows.extend(values[:half])
        crash_point("sink.write.mid_epoch")
        self._open.rows.extend(values[half:])

    def prepare(self, checkpoint_id: int) -> bytes | None:
        self._check(self._context.lane)
        transaction, self._open = self._open, None
        if transaction is None:
            return None
        transaction.state = "half prepared"
        crash_point("sink.prepare.mid")
        self._check(self._context.lane)  # else it may have been aborted while we stood still
        transaction.state, transaction.checkpoint_id = "prepared", checkpoint_id
        return json.dumps({"version": 1, "transaction": transaction.number}).encode()

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> CommitOutcome:
        self._check(lane)
        number = json.loads(committable)["transaction"]
        transaction = self._target.transactions.get(number)
        busy = self._target.is_busy()
        if busy and not self._target.is_late():
            return Retry(BUSY_S, "the server is busy")
        if transaction is None or transaction.state not in ("prepared", "committed"):
            what = f"transaction {number} is {transaction.state if transaction else 'unknown'}"
            raise LostEpoch(sink_uid=self._context.sink_uid, lane=lane, checkpoint_id=checkpoint_id, what=what)
        already = transaction.state == "committed"
        if not already:
            transaction.state = "committed"
            self._target.show(self._context, transaction.run_id, lane, checkpoint_id, transaction.rows)
        crash_point("sink.commit.applied_no_ack")
        return Retry(BUSY_S, "the answer was lost") if busy else Committed(already)

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        self._recovered = True
        kept = {json.loads(committable)["transaction"] for committable in keep}
        for transaction in self._target.transactions.values():
            mine = transaction.sink_uid == self._context.sink_uid and transaction.lane in self._context.owned_lanes
            if mine and transaction.state not in ("committed", "aborted") and transaction.number not in kept:
                self._check(transaction.lane)
                transaction.state = "aborted"
                crash_point("recovery.mid_abort")

    def newest_committed(self, lane: int) -> int | None:
        ids = [
            epoch.checkpoint_id
            for epoch in self._target.epochs
            if (epoch.run_id, epoch.sink_uid, epoch.lane) == (self._context.run_id, self._context.sink_uid, lane)
        ]
        return max(ids, default=None)

    def close(self) -> None:
        transaction, self._open = self._open, None
        if transaction is not None:
            transaction.state = "aborted"
