"""Ends an open transaction by hand, and fences whoever may still write with its id.

The coordinator is told first, the id is begun anew behind that; both steps are needed, in this order. Beginning the id anew is enough for an
abort, but it asks for no producer and epoch: if a restarted job had taken the id over in the meantime, its new transaction would be aborted
and the job fenced. The coordinator refuses to end the transaction of another producer or epoch, and changes nothing. On the other hand it
does not fence: a producer that is alive could go on with the same epoch. And a commit is lost when the id is begun anew before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Final, Literal

from millstream.ports import SystemClock
from millstream_kafka.client import KafkaError
from millstream_kafka.commands.texts import moment_text
from millstream_kafka.patience import patiently
from millstream_kafka.producing import begin_transactions
from millstream_kafka.second_client import RETRIED
from millstream_kafka.transaction import Description, Handle
from millstream_kafka.transaction_errors import CoordinatorBusy, EndRefused, TransactionChanged, TransactionNotOpen

if TYPE_CHECKING:
    from millstream_kafka.commands.connecting import Connected

Verb = Literal["commit", "abort"]

_AGAIN_S: Final = 0.1
_LOOK_AGAIN: Final = "Describe it again"
_FIXES: Final = {
    47: "Somebody has begun the id anew, or its timeout has passed. Describe it again",
    48: "It was ended the other way. Describe it again",
    49: "The coordinator knows another producer by this id, or none any more. Describe it again",
    53: "Give its user the right to write this transactional id",
    90: "Somebody has begun the id anew, or its timeout has passed. Describe it again",
}


@dataclass(frozen=True)
class Ended:
    """What became of a transaction.

    Attributes:
        decided: what the coordinator said of it once it was ended.
        now: what it says since the id was begun anew.
    """

    decided: Description
    now: Description


def look(connected: Connected, transactional_id: str) -> Description:
    """What the coordinator says of an id; otherwise as `Transactions.describe`."""
    return patiently(lambda: connected.transactions.describe(transactional_id), connected.timeout_s)


def check(found: Description, verb: Verb, given: tuple[int, int] | None) -> None:
    """Whether it can be ended.

    Args:
        given: producer id and epoch of the transaction that is meant; None for whichever is open.

    Raises:
        TransactionChanged: it is of another producer or epoch.
        TransactionNotOpen: nothing is open.
    """
    if given is not None and given != (found.producer_id, found.producer_epoch):
        wanted = f"of producer {given[0]} and epoch {given[1]}"
        raise TransactionChanged(transactional_id=found.transactional_id, asked=verb, wanted=wanted, found=_spoken(found))
    if not found.is_open:
        raise TransactionNotOpen(transactional_id=found.transactional_id, state=found.state, asked=verb)


def decide(connected: Connected, shown: Description, verb: Verb) -> Description:
    """Commits or aborts the transaction that was shown to somebody, and no other.

    Returns:
        What the coordinator says when the brokers have carried it out; or after the connection's timeout, if they are still about to.

    Raises:
        TransactionChanged: it is another one by now.
        EndRefused: the coordinator refuses.
        KafkaUnreachable, KafkaRefused, KafkaFailed: whether it was ended is not known.
    """
    found = look(connected, shown.transactional_id)
    if _identity(found) != _identity(shown):
        raise TransactionChanged(transactional_id=shown.transactional_id, asked=verb, wanted=_spoken(shown), found=_spoken(found))
    handle = Handle(1, shown.transactional_id, shown.producer_id, shown.producer_epoch)
    code = patiently(lambda: _told(connected, handle, verb), connected.timeout_s)
    if code:
        raise EndRefused(
            transactional_id=handle.transactional_id,
            producer_id=handle.producer_id,
            producer_epoch=handle.producer_epoch,
            asked=verb,
            answer=KafkaError(code).name(),
            fix=_FIXES.get(code, _LOOK_AGAIN),
        )
    return _carried_out(connected, handle.transactional_id)


def _told(connected: Connected, handle: Handle, verb: Verb) -> int:
    code = connected.transactions.end(handle, commit=verb == "commit")
    if code in RETRIED:
        servers, doing = connected.client.servers, f"{verb} transaction {handle.transactional_id!r}"
        raise CoordinatorBusy(bootstrap_servers=servers, doing=doing, reason=KafkaError(code).name(), error_code=code)
    return code


def _carried_out(connected: Connected, transactional_id: str) -> Description:
    clock = SystemClock()
    over_s = clock.monotonic_s() + connected.timeout_s
    while True:
        found = look(connected, transactional_id)
        if not found.is_under_way or clock.monotonic_s() > over_s:
            return found
        clock.wait(Event(), _AGAIN_S)


def fence(connected: Connected, decided: Description, ended: Description) -> Description:
    """Begins the id anew, so that a producer which is still alive can write nothing more with it.

    Args:
        decided: what the coordinator said when the transaction was ended.
        ended: the transaction as it was before.

    Returns:
        What the coordinator says now.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: the id cannot be begun.
    """
    if (decided.producer_id, decided.producer_epoch) != (ended.producer_id, ended.producer_epoch):
        return decided  # a job has begun the id anew: that has fenced the old producer, and the new one is to live
    name = decided.transactional_id
    settings = {"transactional.id": name, "transaction.timeout.ms": decided.timeout_ms}
    begin_transactions(connected.client, settings, name).purge()
    return look(connected, name)


def _identity(found: Description) -> tuple[int, int, str, int | None]:
    return found.producer_id, found.producer_epoch, found.state, found.started_ms


def _spoken(found: Description) -> str:
    began = f", begun {moment_text(found.started_ms)}" if found.started_ms is not None else ""
    return f"{found.state}, of producer {found.producer_id} and epoch {found.producer_epoch}{began}"
