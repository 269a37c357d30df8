"""Avro, with its schemas in a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from millstream.errors import InvalidArgument
from millstream_kafka.registry.format import RegistryFormat, check_registry
from millstream_kafka.registry.subjects import BY_TOPIC, Part, check_subject, subject_of

if TYPE_CHECKING:
    from millstream_kafka.registry.avro_decoder import AvroDecoder
    from millstream_kafka.registry.avro_encoder import AvroEncoder
    from millstream_kafka.registry.settings import SchemaRegistry

T = TypeVar("T")


@dataclass(frozen=True)
class AvroFormat(RegistryFormat[T]):
    """Avro values behind the id of their schema, as the clients of Confluent's registry write and read them.

    Logical types become datetime (with a time zone), date, time, Decimal and UUID.

    Args:
        registry: where schemas are.
        record_type: what a value becomes: a dataclass, TypedDict, msgspec.Struct or any other type that msgspec reads. Fields are checked
            and converted; unknown fields are ignored. Without it a value becomes dicts, lists and so on as they stand. A sink writes all
            of these, whatever is given here.
        schema: JSON text. A sink writes with it. A source reads as it says, whatever the writer's schema (Avro's schema resolution: fields
            are matched by name, missing ones get their defaults); without it, as the writer's schema says.
        latest: instead of a schema: the latest version of the subject, as it is when the job starts or restarts.
        subject: where a sink's schema and the latest version are. "{topic}", "{part}" (key or value) and "{record}" (full name of the
            record) stand for what they say: "{topic}-{part}" is Confluent's TopicNameStrategy, "{record}" its RecordNameStrategy,
            "{topic}-{record}" its TopicRecordNameStrategy.
        auto_register: a sink registers its schema when it starts, unless the subject has it. True as for all clients of Confluent's: the
            registry refuses what breaks the subject's compatibility. With False the schema must be there.

    Raises:
        InvalidArgument: an option makes no sense, or the schema is no Avro.
        SettingRefused: the extra `millstream-kafka[avro]` is not installed.
    """

    registry: SchemaRegistry
    record_type: type[T] | None = None
    schema: str | None = None
    latest: bool = False
    subject: str = BY_TOPIC
    auto_register: bool = True

    def __post_init__(self) -> None:
        check_registry("AvroFormat", self.registry, "avro", "fastavro")
        check_subject("AvroFormat", self.subject)
        if self.latest and self.schema is not None:
            raise InvalidArgument(what="AvroFormat(latest=True)", value="given with schema=", allowed="one of the two")
        self._check_schema()
        if self.record_type is not None:
            try:
                msgspec.json.Decoder(self.record_type)
            except (TypeError, NameError) as error:
                allowed = "a type that msgspec supports, with annotations that can be resolved where its module is imported"
                value = f"{self.record_type!r} ({error})"
                raise InvalidArgument(what="AvroFormat(record_type=...)", value=value, allowed=allowed) from None

    def _check_schema(self) -> None:
        from millstream_kafka.registry.avro_schema import parsed

        if self.schema is not None:
            try:
                parsed(self.schema)
            except (TypeError, ValueError) as error:
                allowed = "an Avro schema as JSON text that refers to no other schema (latest=True can)"
                raise InvalidArgument(what="AvroFormat(schema=...)", value=f"{str(self.schema)[:80]!r} ({error})", allowed=allowed) from None

    def subject_for(self, topic: str | None, part: Part, record: str | None) -> str:
        """Where schemas are. Raises InvalidArgument where one of what it needs is not known."""
        return subject_of("AvroFormat", self.subject, topic, part, record)

    def decoder_for(self, topic: str | None, part: Part) -> AvroDecoder[T]:
        from millstream_kafka.registry.avro_decoder import AvroDecoder
        from millstream_kafka.registry.client import RegistryClient

        return AvroDecoder(self, RegistryClient(self.registry), topic, part)

    def encoder_for(self, topic: str | None, part: Part) -> AvroEncoder[T]:
        from millstream_kafka.registry.avro_encoder import avro_encoder
        from millstream_kafka.registry.client import RegistryClient

        return avro_encoder(self, RegistryClient(self.registry), topic, part)
