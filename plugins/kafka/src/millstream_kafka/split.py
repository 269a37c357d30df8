"""A partition, and how far it has been read."""

from __future__ import annotations

import msgspec

from millstream.contracts.source import Split


class KafkaSplit(msgspec.Struct, frozen=True):
    """One partition and a position in it.

    Attributes:
        topic: its name.
        topic_id: what tells it from another of that name; empty where the broker does not say.
        partition: number.
        offset: of the next record; -2 for the first one that is there.
        stop: offset behind the last record to be read; None to read for ever.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    stop: int | None = None

    @property
    def split_id(self) -> str:
        """`topic-3`, as Kafka writes it."""
        return f"{self.topic}-{self.partition}"

    @classmethod
    def from_split(cls, split: Split) -> KafkaSplit:
        """Reads the data of a split.

        Raises:
            msgspec.ValidationError: it is not one of this source's.
            UnknownStateVersion: it is one of a later release.
        """
        split.check_version()
        return msgspec.convert(split.data, cls)

    def to_split(self) -> Split:
        """The split as the engine keeps it."""
        return Split(self.split_id, msgspec.to_builtins(self))
