"""A message as a deserializer sees it."""

from __future__ import annotations

import msgspec


class KafkaRecord(msgspec.Struct, frozen=True):
    """A message of Kafka.

    Attributes:
        topic: that it was read from.
        partition: number of its partition.
        offset: of the message in the partition.
        timestamp: ms since the epoch, of its making or of its arrival as the topic has it; None for messages of very old clients.
        key: bytes, or None.
        value: bytes; None for a tombstone.
        headers: name and value of each, in order; a name may come twice.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
