"""What an error of a transactional producer means for the lane it writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from millstream.errors import Fenced
from millstream_kafka.client import Client, KafkaError, KafkaException, Producer
from millstream_kafka.undelivered import NotTaken, first_cause, undelivered

if TYPE_CHECKING:
    from millstream.contracts.sink import SinkContext
    from millstream_kafka.deliveries import Deliveries

_STEP_S: Final = 0.5
_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.PRODUCER_FENCED,
    }
)


def is_fenced(error: BaseException) -> bool:
    """Whether another producer has the transactional id."""
    reason = _reason(error)
    return reason is not None and reason.code() in _FENCED


def _reason(error: BaseException) -> KafkaError | None:
    # An error that comes up while a callback runs is hidden behind a SystemError of the interpreter.
    cause = error.__cause__ if isinstance(error, SystemError) and error.__cause__ is not None else error
    reason = cause.args[0] if cause.args else None
    return reason if isinstance(reason, KafkaError) else None


def _told_by(producer: Producer) -> KafkaError | None:
    """The library says once what was fatal, perhaps to nobody; whoever asks for something else is told it again."""
    try:
        producer.abort_transaction(_STEP_S)
    except KafkaException as told:
        return _reason(told)
    return None


def raise_failure(
    client: Client,
    context: SinkContext,
    lane: int,
    doing: str,
    error: BaseException,
    producer: Producer | None = None,
    deliveries: Deliveries | None = None,
) -> NoReturn:
    """Raises Fenced when another producer has the lane's transactional id now, else what the error says, or the message that caused it.

    Args:
        doing: what failed, after "to".
        producer: whose error it is, to be asked where the error does not say more than that there was one; it is of no use afterwards.
        deliveries: what is reported of its messages.
    """
    reason = _reason(error)
    cause = first_cause(deliveries.take_from(producer)) if producer is not None and deliveries is not None else None
    lost = reason.code() == KafkaError._FATAL if reason is not None else isinstance(error, SystemError)
    if lost and producer is not None:
        reason = _told_by(producer) or reason
    if any(one is not None and one.code() in _FENCED for one in (reason, cause.args[0] if cause is not None else None)):
        raise Fenced(sink_uid=context.sink_uid, lane=lane, attempt=context.attempt) from error
    _raise(client, doing, reason, cause or error)


def raise_reason(client: Client, doing: str, error: BaseException) -> NoReturn:
    """Raises what an error of the library means, or the error itself where it is none."""
    _raise(client, doing, _reason(error), error)


def _raise(client: Client, doing: str, reason: KafkaError | None, error: BaseException) -> NoReturn:
    if isinstance(error, NotTaken):
        raise undelivered(client, error) from error
    if reason is None:
        raise error
    raise client.explained(doing, reason) from error
