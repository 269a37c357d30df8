"""Targets outside the simulated process: what a sink wrote survives its crashes, and readers see what real readers would see."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.two_phase_commit import CommitOutcome, Committed, Retry, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import Fenced, LostEpoch
from millstream.ports import SeededRandom, crash_point

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


class ContractBroken(AssertionError):
    """The engine asked a target for something that its contract rules out."""


@dataclass(frozen=True)
class VisibleEpoch:
    """Records that became visible together."""

    run_id: str
    sink_uid: str
    lane: int
    checkpoint_id: int
    values: tuple[Any, ...] = field(repr=False)


class Target(Generic[T]):
    """What both kinds share.

    Args:
        busy: share of the commits that are answered as by a server in trouble.
        seed: decides which.
    """

    def __init__(self, busy: float = 0.0, seed: int = 0) -> None:
        self.epochs: list[VisibleEpoch] = []
        self._seen = 0
        self._busy = busy
        self._random = SeededRandom(f"{seed}/target")
        self._fences: dict[tuple[str, int], int] = {}

    def visible(self) -> list[T]:
        """What a reader sees, in the order in which it became visible."""
        return [value for epoch in self.epochs for value in epoch.values]

    def leftovers(self) -> list[str]:
        """What nobody will ever finish or remove, once the job is over."""
        return []

    def take_new(self) -> list[VisibleEpoch]:
        """What became visible since the last call."""
        new = self.epochs[self._seen :]
        self._seen = len(self.epochs)
        return new

    def fence(self, sink_uid: str, lane: int) -> int:
        """A token; every older one of the lane is void from now on."""
        token = self._fences.get((sink_uid, lane), 0) + 1
        self._fences[sink_uid, lane] = token
        return token

    def check_fence(self, context: SinkContext, lane: int, token: int | None) -> None:
        """Raises Fenced unless the token is the lane's newest."""
        if token is None:
            raise ContractBroken(f"lane {lane} of {context.sink_uid} was written to and never fenced")
        if self._fences[context.sink_uid, lane] != token:
            raise Fenced(sink_uid=context.sink_uid, lane=lane, attempt=context.attempt)

    def is_busy(self) -> bool:
        """Whether the server is in trouble just now."""
        return self._busy > 0 and self._random.random() < self._busy

    def is_late(self) -> bool:
        """Whether trouble comes after the effect."""
        return self._random.below(2) == 1

    def show(self, context: SinkContext, run_id: str, lane: int, checkpoint_id: int, values: Sequence[Any]) -> None:
        """Makes records visible."""
        self.epochs.append(VisibleEpoch(run_id, context.sink_uid, lane, checkpoint_id, tuple(values)))


# --- two-phase commit


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


# --- write-ahead


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
        self._target.show(self._context, self._context.run_id, lane, checkpoint_id, records)
        self._target.markers[self._key(lane)] = after
        crash_point("sink.commit.applied_no_ack")
        if busy:
            raise ConnectionError("the answer was lost")
