"""Protobuf messages to bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import EncodeError

from millstream.contracts.format import Encoder
from millstream_kafka.registry.errors import RegistryRefused
from millstream_kafka.registry.framing import id_head, message_path_head
from millstream_kafka.registry.protobuf_schema import file_of, new_schema, path_to
from millstream_kafka.registry.stored import PROTOBUF

if TYPE_CHECKING:
    from millstream_kafka.registry.client import RegistryClient
    from millstream_kafka.registry.protobuf import ProtobufFormat
    from millstream_kafka.registry.subjects import Part

T = TypeVar("T")


def protobuf_encoder(format: ProtobufFormat[T], client: RegistryClient, topic: str | None, part: Part) -> ProtobufEncoder[T]:
    """An encoder for one topic.

    Raises:
        RegistryError: the registry does not have the schema, or does not answer.
    """
    descriptor: Any = format.message_type.DESCRIPTOR  # type: ignore[attr-defined]  # of a class of messages
    name = descriptor.full_name
    subject = format.subject_for(topic, part, name)
    if format.latest:
        schema_id, path = _latest(client, subject, name)
        return ProtobufEncoder(format.message_type, id_head(schema_id) + message_path_head(path))
    schema = new_schema(descriptor.file)
    schema_id = client.registered(subject, schema) if format.auto_register else client.found(subject, schema)
    own = path_to(FileDescriptorProto.FromString(descriptor.file.serialized_pb), name)
    assert own is not None  # noqa: S101 - a class is in its own file
    return ProtobufEncoder(format.message_type, id_head(schema_id) + message_path_head(own))


def _latest(client: RegistryClient, subject: str, name: str) -> tuple[int, list[int]]:
    """Id of the latest version, and where the message stands in it."""
    latest = client.latest(subject)
    doing = f"give the latest version of subject {subject!r} as the schema to write {name} with"
    if latest.kind != PROTOBUF:
        reason, fix = f"it is of type {latest.kind}", "Name a subject of type PROTOBUF, or choose another format"
        raise RegistryRefused(registry=client.address, doing=doing, reason=reason, fix=fix)
    try:
        path = path_to(file_of(latest.text), name)
    except ValueError as error:
        raise RegistryRefused(registry=client.address, doing=doing, reason=str(error), fix="Leave out latest=True") from error
    if path is None:
        raise RegistryRefused(registry=client.address, doing=doing, reason="that message is not in it", fix="Register the file of the message")
    return latest.schema_id, path


class ProtobufEncoder(Encoder[T]):
    """Writes messages of one class.

    Args:
        message_type: the class.
        head: what stands in front of each.
    """

    def __init__(self, message_type: type[T], head: bytes) -> None:
        self._class = message_type
        self._head = head

    def encode(self, value: T) -> bytes:
        given: Any = value
        if not isinstance(given, self._class):
            msg = f"it is {type(given).__name__}, and this sink writes {self._class.__name__}: map the records to it first"
            raise TypeError(msg)
        try:
            return self._head + bytes(given.SerializeToString())  # type: ignore[attr-defined]  # a message
        except EncodeError as error:
            raise ValueError(str(error)) from error
