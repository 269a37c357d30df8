"""Avro bytes to values."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import msgspec
from fastavro import schemaless_reader

from millstream.contracts.format import DecodeError
from millstream_kafka.registry.avro_schema import is_bytes, name_of, parsed
from millstream_kafka.registry.errors import RegistryRefused
from millstream_kafka.registry.format import RegistryDecoder
from millstream_kafka.registry.framing import ID_BYTES, id_of
from millstream_kafka.registry.stored import AVRO

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_kafka.registry.avro import AvroFormat
    from millstream_kafka.registry.client import RegistryClient
    from millstream_kafka.registry.stored import StoredSchema
    from millstream_kafka.registry.subjects import Part

T = TypeVar("T")

_AT_PATH: Final = re.compile(r"^(?P<reason>.*) - at `\$(\[[^\]]*\])?\.?(?P<path>.*)`$", re.DOTALL)


class AvroDecoder(RegistryDecoder[T]):
    """Values of one topic.

    Args:
        format: the options.
        client: of its registry.
        topic: None where it is not known.
        part: key or value.
    """

    kind: ClassVar[str] = AVRO
    reads: ClassVar[str] = "AvroFormat"

    def __init__(self, format: AvroFormat[T], client: RegistryClient, topic: str | None, part: Part) -> None:
        super().__init__(client)
        self._format = format
        self._topic = topic
        self._part = part
        self._given = parsed(format.schema) if format.schema is not None else None
        self._latest: dict[str, Any] = {}
        self._type: Any = format.record_type

    def decode(self, raw: bytes) -> T:
        return self.decode_many([raw])[0]

    def decode_many(self, raws: list[bytes]) -> list[T]:
        known = self._known
        values = []
        for raw in raws:
            reader = known.get(raw[:ID_BYTES])
            if reader is None:
                reader = self._reader_of(self._head(raw))
            values.append(reader(raw))
        if self._type is None:
            return values
        try:
            return msgspec.convert(values, list[self._type])  # type: ignore[name-defined]  # a type that is known at run time only
        except msgspec.ValidationError as error:
            at = _AT_PATH.match(str(error))
            raise (DecodeError(at["reason"], field=at["path"] or None) if at else DecodeError(str(error))) from None

    def _head(self, raw: bytes) -> bytes:
        id_of(raw)
        return raw[:ID_BYTES]

    def _reader(self, head: bytes, schema: StoredSchema) -> Callable[[bytes], Any]:
        try:
            writer = parsed(schema.text, schema.referenced)
        except ValueError as error:
            raise DecodeError(f"its schema {schema.schema_id} cannot be understood: {error}") from error
        reader = self._reader_schema(writer)
        if is_bytes(writer) and (reader is None or is_bytes(reader)):
            return lambda raw: raw[ID_BYTES:]
        return _reading(schema.schema_id, writer, reader)

    def _reader_schema(self, writer: Any) -> Any:
        if not self._format.latest:
            return self._given
        subject = self._format.subject_for(self._topic, self._part, name_of(writer))
        if subject not in self._latest:
            self._latest[subject] = self._latest_of(subject)
        return self._latest[subject]

    def _latest_of(self, subject: str) -> Any:
        latest = self._client.latest(subject)
        doing = f"give the latest version of subject {subject!r} as the schema to read with"
        if latest.kind != AVRO:
            reason, fix = f"it is of type {latest.kind}", "Name a subject of type AVRO, or choose another format"
            raise RegistryRefused(registry=self._client.address, doing=doing, reason=reason, fix=fix)
        try:
            return parsed(latest.text, latest.referenced)
        except ValueError as error:
            raise RegistryRefused(registry=self._client.address, doing=doing, reason=str(error), fix="Correct it there") from error


def _reading(schema_id: int, writer: Any, reader: Any) -> Callable[[bytes], Any]:
    """A function from the bytes of a message to its value."""

    def read(raw: bytes) -> Any:
        stream = BytesIO(raw)
        stream.seek(ID_BYTES)
        try:
            value = schemaless_reader(stream, writer, reader)
        except Exception as error:  # bytes of somebody else: the library raises many things for bad ones
            reason = f"it cannot be read as schema {schema_id} ({name_of(writer)}) says: {type(error).__name__}: {error}"
            raise DecodeError(reason) from error
        # Bytes that are left mean another schema or damage: the value is not what was written.
        if stream.tell() != len(raw):
            raise DecodeError(f"{len(raw) - stream.tell()} bytes are left behind the value that schema {schema_id} ({name_of(writer)}) describes")
        return value

    return read
