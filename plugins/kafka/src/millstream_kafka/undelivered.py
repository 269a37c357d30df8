"""Messages that the client library or a broker does not take, and what that means for the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.errors import MillstreamError
from millstream_kafka.client import Client, KafkaError, KafkaException
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.topics import required

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream_kafka.client import Message

_UNKNOWN: Final = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})
_NEVER: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE: (
        "it is larger than the topic's max.message.bytes",
        "Raise that; with a lower client={'message.max.bytes': ...} the sink's on_error gets the record before it is in a checkpoint",
    ),
    KafkaError.INVALID_RECORD: (
        "it is not valid there: a compacted topic takes no message without a key, say",
        "Give the sink key=..., or write to another topic",
    ),
}
"""What no other attempt changes: the reason, and the fix."""
_CONSEQUENCES: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL, KafkaError._STATE})


class NotTaken(KafkaException):
    """The client does not even put a message into its queue.

    Args:
        error: of the library.
        topic: of the message.
        partition: of the message; None where the partitioner was to choose.
    """

    def __init__(self, error: KafkaError, topic: str, partition: int | None) -> None:
        super().__init__(error)
        self.topic = topic
        self.partition = partition


def first_cause(failed: Iterable[tuple[KafkaError, Message]]) -> NotTaken | None:
    """The first of these that failed for a reason of its own, not because others did."""
    for error, message in failed:
        if error.code() not in _CONSEQUENCES:
            return NotTaken(error, message.topic() or "", message.partition())
    return None


def undelivered(client: Client, failure: NotTaken) -> MillstreamError:
    """Names the topic, the partition and the reason."""
    error: KafkaError = failure.args[0]
    code, topic, partition = error.code(), failure.topic, failure.partition
    where = f"topic {topic!r}"
    if partition is not None and partition >= 0:
        where = f"partition {partition} of {where}"
    doing = f"take a message in {where}"
    if code in _UNKNOWN:
        try:
            missing = _missing(client, topic, partition)
        except MillstreamError as told:
            return told
        if missing is not None:
            return KafkaRefused(bootstrap_servers=client.servers, doing=doing, reason=missing[0], fix=missing[1])
    if code in _NEVER:
        reason, fix = _NEVER[code]
        return KafkaRefused(bootstrap_servers=client.servers, doing=doing, reason=reason, fix=fix)
    return client.explained(f"write to {where}", error)


def _missing(client: Client, topic: str, partition: int | None) -> tuple[str, str] | None:
    """Why there is no such partition, and what to do, as brokers say it now: None where it is there. What the producer had heard may be old.

    Raises:
        TopicUnknown: there is no such topic.
        KafkaUnreachable, KafkaRefused, KafkaFailed: the brokers do not say.
    """
    (found,) = required(client, client.admin(), [topic], client.servers)
    if partition is None or partition < found.partitions:
        return None
    return (
        f"the topic has {found.partitions}, from 0",
        "Add partitions to the topic, or correct what the sink's partition=... returns",
    )
