"""From messages to records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from millstream.contracts.format import DecodeError, Decoder
from millstream.contracts.source import Fetched, Rejected
from millstream_kafka.client import Message
from millstream_kafka.record import KafkaRecord
from millstream_kafka.registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_kafka.registry.format import RegistryDecoder, RegistryFormat

T = TypeVar("T")

Tombstones: TypeAlias = Literal["fail", "skip", "none"]


class Deserializer(ABC, Generic[T]):
    """Makes records of messages of one partition."""

    def lookup(self, messages: list[Message]) -> Callable[[], object] | None:
        """What has to be asked elsewhere in front of `fetched`, on another thread, because it may take long; None when nothing has."""
        return None

    @abstractmethod
    def fetched(self, split_id: str, messages: list[Message]) -> Fetched[T]:
        """Records and event times of messages; what is no record is among the rejected."""


class ValueDeserializer(Deserializer[T]):
    """The value of each message in some format.

    Args:
        decoder: of values.
        tombstones: what becomes of messages without a value: "fail" makes them rejected input, "skip" passes over them, "none" makes
            None of them.
    """

    def __init__(self, decoder: Decoder[T], tombstones: Tombstones) -> None:
        self._decoder = decoder
        self._tombstones = tombstones

    def fetched(self, split_id: str, messages: list[Message]) -> Fetched[T]:
        values: list[Any] = list(map(Message.value, messages))
        if None not in values:
            try:
                return Fetched(split_id, self._decoder.decode_many(values), _timestamps(messages))
            except DecodeError:
                pass  # which of them is found by trying each
        return _one_by_one(split_id, messages, self._decode)

    def _decode(self, message: Message) -> list[Any]:
        value = message.value()
        if value is not None:
            return [self._decoder.decode(value)]
        if self._tombstones == "fail":
            reason = 'it has no value (a tombstone). tombstones="skip" passes over such messages, tombstones="none" makes None of them'
            raise DecodeError(reason)
        return [None] if self._tombstones == "none" else []


class RegistryDeserializer(Deserializer[T]):
    """The value of each message, with the schemas of a registry: a decoder for each topic.

    Args:
        format: of values.
        tombstones: as for ValueDeserializer.
    """

    def __init__(self, format: RegistryFormat[T], tombstones: Tombstones) -> None:
        self._format = format
        self._tombstones = tombstones
        self._topics: dict[str, tuple[RegistryDecoder[T], ValueDeserializer[T]]] = {}

    def _of(self, topic: Any) -> tuple[RegistryDecoder[T], ValueDeserializer[T]]:
        found = self._topics.get(topic)
        if found is None:
            decoder = self._format.decoder_for(topic, "value")
            found = self._topics[topic] = decoder, ValueDeserializer(decoder, self._tombstones)
        return found

    def lookup(self, messages: list[Message]) -> Callable[[], object] | None:
        decoder, _ = self._of(messages[0].topic())
        missing = decoder.unresolved(list(map(Message.value, messages)))
        if not missing:
            return None

        def ask() -> None:
            for head, number in missing.items():
                try:
                    decoder.resolve(head)
                except RegistryError as error:
                    error.place = _place(messages[number])
                    raise

        return ask

    def fetched(self, split_id: str, messages: list[Message]) -> Fetched[T]:
        decoder, values = self._of(messages[0].topic())
        fetched = values.fetched(split_id, messages)
        decoder.forget_unknown()
        return fetched


class RecordDeserializer(Deserializer[T]):
    """A function of the whole message.

    Args:
        function: makes a record of a message; what it raises makes the message rejected input, but for a RegistryError.
    """

    def __init__(self, function: Callable[[KafkaRecord], T]) -> None:
        self._function = function

    def fetched(self, split_id: str, messages: list[Message]) -> Fetched[T]:
        return _one_by_one(split_id, messages, self._decode)

    def _decode(self, message: Message) -> list[T]:
        try:
            return [self._function(_record(message))]
        except (DecodeError, RegistryError):
            raise
        except Exception as error:  # the user's function
            msg = f"{type(error).__name__}: {error}"
            raise DecodeError(msg) from error


def _one_by_one(split_id: str, messages: list[Message], decode: Callable[[Message], list[Any]]) -> Fetched[Any]:
    fetched: Fetched[Any] = Fetched(split_id, [])
    stamped = _timestamps(messages)
    stamps = []
    for number, message in enumerate(messages):
        try:
            values = decode(message)
        except DecodeError as error:
            fetched.rejected.append(_rejected(message, error))
            continue
        fetched.values += values
        if stamped is not None:
            stamps += [stamped[number]] * len(values)
    fetched.timestamps = stamps if stamped is not None else None
    return fetched


def _timestamps(messages: list[Message]) -> list[int] | None:
    stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    return None if -1 in stamps else stamps


def _record(message: Message) -> KafkaRecord:
    kind, stamp = message.timestamp()
    headers: Any = message.headers() or ()
    return KafkaRecord(
        topic=message.topic(),  # type: ignore[arg-type]  # what is no error has all of these
        partition=message.partition(),  # type: ignore[arg-type]
        offset=message.offset(),  # type: ignore[arg-type]
        timestamp=stamp if kind else None,
        key=message.key(),
        value=message.value(),
        headers=tuple(headers),
    )


def _place(message: Message) -> str:
    return f"topic {message.topic()!r}, partition {message.partition()}, offset {message.offset()}"


def _rejected(message: Message, error: DecodeError) -> Rejected:
    parts = [_place(message)]
    if error.column is not None:
        parts.append(f"column {error.column}")
    if error.field is not None:
        parts.append(f"field {error.field}")
    headers: Any = message.headers() or ()
    kept = tuple((name, value if value is not None else b"") for name, value in headers)
    return Rejected(", ".join(parts), message.value() or b"", error.reason, kept)
