"""Values to Avro bytes."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import msgspec
from fastavro import schemaless_writer

from millstream.contracts.format import Encoder
from millstream.errors import InvalidArgument
from millstream_kafka.registry.avro_ints import int_check
from millstream_kafka.registry.avro_schema import is_bytes, name_of, parsed
from millstream_kafka.registry.errors import RegistryRefused
from millstream_kafka.registry.framing import id_head
from millstream_kafka.registry.stored import AVRO, NewSchema

if TYPE_CHECKING:
    from millstream_kafka.registry.avro import AvroFormat
    from millstream_kafka.registry.client import RegistryClient
    from millstream_kafka.registry.subjects import Part

T = TypeVar("T")

_AS_THEY_ARE: Final = frozenset({dict, str, bytes, int, float, bool, type(None), datetime, date, time, Decimal, UUID})
_KEPT: Final = (bytes, datetime, date, time, Decimal, UUID)
"""What the library writes itself."""


def avro_encoder(format: AvroFormat[T], client: RegistryClient, topic: str | None, part: Part) -> AvroEncoder[T]:
    """An encoder for one topic.

    Raises:
        InvalidArgument: the format does not say with which schema.
        RegistryError: the registry does not have the schema, or does not answer.
    """
    if format.latest:
        subject = format.subject_for(topic, part, None)
        latest = client.latest(subject)
        doing = f"give the latest version of subject {subject!r} as the schema to write with"
        if latest.kind != AVRO:
            reason, fix = f"it is of type {latest.kind}", "Name a subject of type AVRO, or choose another format"
            raise RegistryRefused(registry=client.address, doing=doing, reason=reason, fix=fix)
        try:
            return AvroEncoder(latest.schema_id, parsed(latest.text, latest.referenced), subject)
        except ValueError as error:
            raise RegistryRefused(registry=client.address, doing=doing, reason=str(error), fix="Correct it there") from error
    if format.schema is None:
        raise InvalidArgument(what="AvroFormat(schema=...)", value="None", allowed="a schema for what a sink writes, or latest=True")
    schema = parsed(format.schema)
    subject = format.subject_for(topic, part, name_of(schema))
    given = NewSchema(AVRO, format.schema)
    schema_id = client.registered(subject, given) if format.auto_register else client.found(subject, given)
    return AvroEncoder(schema_id, schema, subject)


class AvroEncoder(Encoder[T]):
    """Writes values of one schema.

    Args:
        schema_id: its id.
        schema: parsed.
        subject: where it is registered, for errors.
    """

    def __init__(self, schema_id: int, schema: Any, subject: str) -> None:
        self._head = id_head(schema_id)
        self._schema = schema
        self._where = f"schema {schema_id} ({name_of(schema)}) of subject {subject!r}"
        self._raw = is_bytes(schema)
        self._check = int_check(schema)

    def encode(self, value: T) -> bytes:
        if self._raw:
            if not isinstance(value, bytes):
                msg = f"it is {type(value).__name__}, and {self._where} asks for bytes"
                raise TypeError(msg)
            return self._head + value
        plain = value if type(value) in _AS_THEY_ARE else msgspec.to_builtins(value, builtin_types=_KEPT)
        out = BytesIO()
        out.write(self._head)
        try:
            if self._check is not None:
                self._check(plain)
            # Strict: a field that the schema does not have would be lost without a word.
            schemaless_writer(out, self._schema, plain, strict_allow_default=True)
        except Exception as error:  # whatever it is: nothing but the value was touched
            msg = f"it does not fit {self._where}: {type(error).__name__}: {error}"
            raise ValueError(msg) from error
        return out.getvalue()
