"""What an error of a transactional producer means for the lane it writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from millstream.errors import Fenced
from millstream_kafka.client import Client, KafkaError

if TYPE_CHECKING:
    from millstream.contracts.sink import SinkContext

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


def raise_failure(client: Client, context: SinkContext, lane: int, doing: str, error: BaseException) -> NoReturn:
    """Raises Fenced when another producer has the lane's transactional id now, else what the error says.

    Args:
        doing: what failed, after "to".
    """
    reason = _reason(error)
    if reason is None:
        raise error
    if reason.code() in _FENCED:
        raise Fenced(sink_uid=context.sink_uid, lane=lane, attempt=context.attempt) from error
    raise client.explained(doing, reason) from error
