"""Protobuf, with its schemas in a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.errors import InvalidArgument
from millstream_kafka.registry.format import RegistryFormat, check_registry
from millstream_kafka.registry.subjects import BY_TOPIC, Part, check_subject, subject_of

if TYPE_CHECKING:
    from millstream_kafka.registry.protobuf_decoder import ProtobufDecoder
    from millstream_kafka.registry.protobuf_encoder import ProtobufEncoder
    from millstream_kafka.registry.settings import SchemaRegistry

T = TypeVar("T")


@dataclass(frozen=True)
class ProtobufFormat(RegistryFormat[T]):
    """Protobuf messages behind the id of their schema, as the clients of Confluent's registry write and read them.

    Args:
        registry: where schemas are.
        message_type: a class that protoc has generated. A source makes its messages and takes no other message of a file for one; a sink
            writes them.
        latest: a sink writes with the id of the subject's latest version, instead of registering the class's file.
        subject: where a sink's schema is; as in AvroFormat. Imported files are under their own names.
        auto_register: a sink registers the class's file, and those that it imports, when it starts. With False they must be there.

    Raises:
        InvalidArgument: an option makes no sense.
        SettingRefused: the extra `millstream-kafka[protobuf]` is not installed.
    """

    registry: SchemaRegistry
    message_type: type[T]
    latest: bool = False
    subject: str = BY_TOPIC
    auto_register: bool = True

    def __post_init__(self) -> None:
        check_registry("ProtobufFormat", self.registry, "protobuf", "google.protobuf.message")
        check_subject("ProtobufFormat", self.subject)
        from google.protobuf.message import Message

        given: Any = self.message_type
        if not isinstance(given, type) or not issubclass(given, Message):
            allowed = "a class of messages that protoc has generated"
            raise InvalidArgument(what="ProtobufFormat(message_type=...)", value=repr(given), allowed=allowed)

    def subject_for(self, topic: str | None, part: Part, record: str | None) -> str:
        """Where the schema is. Raises InvalidArgument where one of what it needs is not known."""
        return subject_of("ProtobufFormat", self.subject, topic, part, record)

    def decoder_for(self, topic: str | None, part: Part) -> ProtobufDecoder[T]:
        from millstream_kafka.registry.client import RegistryClient
        from millstream_kafka.registry.protobuf_decoder import ProtobufDecoder

        return ProtobufDecoder(self.message_type, RegistryClient(self.registry))

    def encoder_for(self, topic: str | None, part: Part) -> ProtobufEncoder[T]:
        from millstream_kafka.registry.client import RegistryClient
        from millstream_kafka.registry.protobuf_encoder import protobuf_encoder

        return protobuf_encoder(self, RegistryClient(self.registry), topic, part)
