"""Why a transaction cannot be looked up or ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from millstream.errors import MillstreamError
from millstream_kafka.errors import KafkaFailed

_NOTHING_OPEN: Final = {
    "Empty": "nothing was written since the id was begun anew, and what was written before is decided. There is nothing to end",
    "CompleteCommit": "it has been committed, and read_committed readers see what it wrote. There is nothing to end",
    "CompleteAbort": "it was aborted, by its producer or because its timeout had passed, and what it wrote is lost. There is nothing to end",
    "PrepareCommit": "its commit is decided, and the brokers are about to finish it. Describe it again in a moment",
    "PrepareAbort": "its abort is decided, and the brokers are about to finish it. Describe it again in a moment",
    "PrepareEpochFence": "a new producer has taken its id over, and the brokers are about to abort it. Describe it again in a moment",
    "Dead": "its id has expired, and the brokers are about to forget it. There is nothing to end",
}


@dataclass(kw_only=True, eq=False)
class CoordinatorBusy(KafkaFailed):
    """A coordinator cannot answer just now; asked again in a moment it will.

    Attributes:
        error_code: one of RETRIED.
    """

    code: ClassVar[str] = "kafka.coordinator_busy"
    outage: ClassVar[bool] = True

    error_code: int


@dataclass(kw_only=True, eq=False)
class TransactionUnknown(MillstreamError):
    """No coordinator knows a transactional id.

    Attributes:
        bootstrap_servers: of the brokers that were asked.
        transactional_id: the id.
    """

    code: ClassVar[str] = "kafka.transaction_unknown"

    bootstrap_servers: str
    transactional_id: str

    def sentence(self) -> str:
        return (
            f"Kafka at {self.bootstrap_servers} knows no transactional id {self.transactional_id!r}. Brokers forget one that was not used for "
            "transactional.id.expiration.ms, 7 days unless told otherwise. `millstream kafka transactions list` shows those that they know."
        )


@dataclass(kw_only=True, eq=False)
class TransactionNotOpen(MillstreamError):
    """A transaction that is to be ended is not open.

    Attributes:
        transactional_id: its id.
        state: what the coordinator says it is instead of Ongoing.
        asked: `commit` or `abort`.
    """

    code: ClassVar[str] = "kafka.transaction_not_open"

    transactional_id: str
    state: str
    asked: str

    def sentence(self) -> str:
        why = _NOTHING_OPEN.get(self.state, "only one that is Ongoing can be ended. Describe it again in a moment")
        return f"Cannot {self.asked} transaction {self.transactional_id!r}, which is {self.state}: {why}."


@dataclass(kw_only=True, eq=False)
class TransactionChanged(MillstreamError):
    """A transaction is not the one any more that somebody has decided about.

    Attributes:
        transactional_id: its id.
        asked: `commit` or `abort`.
        wanted: the transaction that was decided about: its producer, its epoch and so on.
        found: what the coordinator says now.
    """

    code: ClassVar[str] = "kafka.transaction_changed"

    transactional_id: str
    asked: str
    wanted: str
    found: str

    def sentence(self) -> str:
        return (
            f"Did not {self.asked} transaction {self.transactional_id!r}: the one that was meant is {self.wanted}, and its coordinator says now: "
            f"{self.found}. It has ended, or the id was begun anew. Stop its job, and describe it again."
        )


@dataclass(kw_only=True, eq=False)
class EndRefused(MillstreamError):
    """A coordinator does not commit or abort; nothing has changed.

    Attributes:
        transactional_id: of the transaction.
        producer_id: that was sent.
        producer_epoch: that was sent.
        asked: `commit` or `abort`.
        answer: name of the coordinator's error.
        fix: what to do.
    """

    code: ClassVar[str] = "kafka.end_refused"

    transactional_id: str
    producer_id: int
    producer_epoch: int
    asked: str
    answer: str
    fix: str

    def sentence(self) -> str:
        return (
            f"The coordinator of transaction {self.transactional_id!r} refuses to {self.asked} it for producer {self.producer_id} of epoch "
            f"{self.producer_epoch}: {self.answer}. Nothing was changed. {self.fix}."
        )
