"""Messages that a sink will send, and how they are made of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from millstream_kafka.names import ALLOWED, is_topic
from millstream_kafka.offsets import MOST_PARTITION
from millstream_kafka.registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream_kafka.topic_encoders import TopicEncoders

T = TypeVar("T")

OVERHEAD_BYTES: Final = 128
"""More than a message takes beside its key, value and headers."""

_HEADER_BYTES: Final = 12


class OutgoingMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message as the log of a write-ahead sink keeps it.

    Attributes:
        topic: where it goes.
        value: bytes; None for a tombstone.
        key: bytes, or None.
        timestamp: ms since the epoch; None for the time of its sending.
        partition: where the user chooses it; None leaves it to the partitioner.
        headers: name and value of each.
    """

    topic: str
    value: bytes | None
    key: bytes | None = None
    timestamp: int | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def size_bytes(self) -> int:
        """What it takes on the way, at most."""
        headers = sum(len(name.encode()) + len(value or b"") + _HEADER_BYTES for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers + OVERHEAD_BYTES


class MessageMaker(Generic[T]):
    """Makes messages of records.

    Args:
        topic: where they go, or a function of the record.
        encoders: of values; a record that is None makes a tombstone.
        key: function of the record; its text is written as UTF-8, unless keys have encoders.
        headers: function of the record.
        partition: function of the record.
        limit_bytes: of a message.
        key_encoders: of keys; None for keys that are bytes or text.
        marker_topic: where no record may go, None if there is none.
    """

    def __init__(
        self,
        topic: str | Callable[[T], str],
        encoders: TopicEncoders,
        key: Callable[[T], Any] | None,
        headers: Callable[[T], Mapping[str, Any] | Sequence[tuple[str, Any]]] | None,
        partition: Callable[[T], int] | None,
        limit_bytes: int,
        key_encoders: TopicEncoders | None = None,
        marker_topic: str | None = None,
    ) -> None:
        self._topic = topic
        self._named: set[str] = set()
        self._marker_topic = marker_topic
        self._encoders = encoders
        self._key_encoders = key_encoders
        self._key = key
        self._headers = headers
        self._partition = partition
        self._limit_bytes = limit_bytes
        self._large = limit_bytes - OVERHEAD_BYTES - 1024
        self._is_plain = isinstance(topic, str) and key is None and headers is None and partition is None

    def message(self, record: T, timestamp: int | None) -> OutgoingMessage:
        """The message of a record.

        Raises:
            TypeError, ValueError: it has none, or one that is too large.
            RegistryError: a registry of schemas does not have what its topic needs, or does not answer.
        """
        topic = self._topic if isinstance(self._topic, str) else self._topic_of(record)
        value = None if record is None else _checked("the value", self._encoders[topic].encode(record))
        key = self._key_of(record, topic) if self._key is not None else None
        partition = self._partition_of(record) if self._partition is not None else None
        headers = self._headers_of(record) if self._headers is not None else ()
        made = OutgoingMessage(topic, value, key, timestamp, partition, headers)
        if (len(value or b"") > self._large or key or headers) and made.size_bytes() > self._limit_bytes:
            msg = (
                f"its message takes {made.size_bytes():,} bytes, and {self._limit_bytes:,} are allowed. Raise the topic's max.message.bytes and "
                "client={'message.max.bytes': ...}, or split the record"
            )
            raise ValueError(msg)
        return made

    def prepare(self, topic: str) -> None:
        """Looks up what the messages of a topic need, in front of the first.

        Raises:
            RegistryError: as for `message`.
        """
        self._encoders[topic]
        if self._key_encoders is not None:
            self._key_encoders[topic]

    def messages(self, records: Sequence[T], timestamps: Sequence[int] | None) -> list[OutgoingMessage]:
        """The messages of some records."""
        values = self.plain_values(records)
        if values is not None:
            topic: Any = self._topic
            if timestamps is None:
                return [OutgoingMessage(topic, value) for value in values]
            return [OutgoingMessage(topic, value, None, timestamp) for value, timestamp in zip(values, timestamps, strict=True)]
        if timestamps is None:
            return [self.message(record, None) for record in records]
        return list(map(self.message, records, timestamps))

    def plain_values(self, records: Sequence[T]) -> list[bytes] | None:
        """The values of the messages, where the topic is one for all, there is nothing else in them, and none is near the limit; else None.

        Raises:
            TypeError, ValueError: as `message` does.
        """
        topic: Any = self._topic
        if not self._is_plain or type(None) in map(type, records):  # not `None in records`: who knows how they compare
            return None
        values = self._encoders[topic].encode_many(records)
        return values if set(map(type, values)) <= {bytes} and max(map(len, values), default=0) <= self._large else None

    def valid_messages(
        self, records: Sequence[T], timestamps: Sequence[int] | None, reject: Callable[[object, Exception], None]
    ) -> list[OutgoingMessage]:
        """The messages of records that have one; the others are rejected, one by one.

        Raises:
            RegistryError: as for `message`; no record is at fault.
        """
        try:
            return self.messages(records, timestamps)
        except RegistryError:
            raise
        except Exception:  # noqa: BLE001 - some record is at fault: which, is found by trying each
            messages = []
        for number, record in enumerate(records):
            try:
                messages.append(self.message(record, None if timestamps is None else timestamps[number]))
            except RegistryError:
                raise
            except Exception as error:  # noqa: BLE001 - nothing but the record was touched
                reject(record, error)
        return messages

    def _topic_of(self, record: T) -> str:
        topic: Any = self._topic(record)  # type: ignore[operator]  # asked only of a function
        if not isinstance(topic, str):
            msg = f"the topic is {topic!r}: return a str"
            raise TypeError(msg)
        if topic not in self._named:
            self._check_topic(topic)
        return topic

    def _check_topic(self, topic: str) -> None:
        # What a checkpoint holds is sent at every start again: brokers would refuse it for ever.
        if not is_topic(topic):
            msg = f"the topic is {topic!r}: names of topics are {ALLOWED}"
            raise ValueError(msg)
        if topic == self._marker_topic:
            msg = f"the topic is {topic!r}, which the sink keeps for its markers: return another, or give the sink another marker_topic"
            raise ValueError(msg)
        self._named.add(topic)

    def _partition_of(self, record: T) -> int:
        partition: Any = self._partition(record)  # type: ignore[misc]  # asked only where there is one
        if type(partition) is not int or not 0 <= partition <= MOST_PARTITION:
            msg = f"the partition is {partition!r}: return the number of one, from 0"
            raise TypeError(msg)
        return partition

    def _key_of(self, record: T, topic: str) -> bytes | None:
        assert self._key is not None  # noqa: S101 - asked only then
        key = self._key(record)
        if self._key_encoders is None or key is None:
            return _bytes("the key", key)
        return _checked("the key", self._key_encoders[topic].encode(key))

    def _headers_of(self, record: T) -> tuple[tuple[str, bytes | None], ...]:
        assert self._headers is not None  # noqa: S101 - asked only then
        found = self._headers(record)
        return tuple(map(_header, found.items() if hasattr(found, "items") else found))


def _header(pair: Any) -> tuple[str, bytes | None]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:  # of a text, two letters would do for name and value
        msg = f"a header is {pair!r}: return a mapping, or pairs of a name and a value"
        raise TypeError(msg)
    name, value = pair
    if not isinstance(name, str):
        msg = f"the name of a header is {name!r}: it must be a str"
        raise TypeError(msg)
    return name, _bytes(f"header {name!r}", value)


def _checked(what: str, encoded: bytes) -> bytes:
    """What a format has made, which may be anybody's: no log may hold what cannot be read from it."""
    if type(encoded) is not bytes:
        msg = f"{what} was encoded as {type(encoded).__name__}: an encoder must return bytes"
        raise TypeError(msg)
    return encoded


def _bytes(what: str, value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    msg = f"{what} is {value!r}: return bytes, a str or None"
    raise TypeError(msg)
