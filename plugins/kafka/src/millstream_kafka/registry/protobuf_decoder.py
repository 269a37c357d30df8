"""Protobuf bytes to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from google.protobuf.message import DecodeError as ParseError

from millstream.contracts.format import DecodeError
from millstream_kafka.client import log
from millstream_kafka.registry.format import RegistryDecoder
from millstream_kafka.registry.framing import ID_BYTES, message_path_of
from millstream_kafka.registry.protobuf_schema import file_of, name_at
from millstream_kafka.registry.stored import PROTOBUF

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_kafka.registry.client import RegistryClient
    from millstream_kafka.registry.stored import StoredSchema

T = TypeVar("T")


class ProtobufDecoder(RegistryDecoder[T]):
    """Messages of one class.

    Args:
        message_type: the class.
        client: of the registry.
    """

    kind: ClassVar[str] = PROTOBUF
    reads: ClassVar[str] = "ProtobufFormat"

    def __init__(self, message_type: type[T], client: RegistryClient) -> None:
        super().__init__(client)
        self._class: Any = message_type

    def decode(self, raw: bytes) -> T:
        return self.decode_many([raw])[0]

    def decode_many(self, raws: list[bytes]) -> list[T]:
        known = self._known
        values = []
        for raw in raws:
            head = self._head(raw)
            reader = known.get(head)
            if reader is None:
                reader = self._reader_of(head)
            values.append(reader(raw))
        return values

    def _head(self, raw: bytes) -> bytes:
        if raw[:1] == b"\0" == raw[ID_BYTES : ID_BYTES + 1]:  # the first message of its file, as nearly all are
            return raw[: ID_BYTES + 1]
        return raw[: message_path_of(raw)[1]]

    def _reader(self, head: bytes, schema: StoredSchema) -> Callable[[bytes], Any]:
        self._check_message(head, schema)
        from_string = self._class.FromString
        begin = len(head)

        def read(raw: bytes) -> Any:
            try:
                return from_string(raw[begin:])
            except ParseError as error:
                raise DecodeError(f"it is no {self._class.DESCRIPTOR.full_name}: {error}") from error

        return read

    def _check_message(self, head: bytes, schema: StoredSchema) -> None:
        """Raises DecodeError for another message than that of the class: the bytes of most could be read as any other."""
        wanted = self._class.DESCRIPTOR.full_name
        path, _ = message_path_of(head)
        try:
            file = file_of(schema.text)
        except ValueError:
            log.warning(
                "the registry at %s gives no descriptor of schema %d: messages are taken for %s", self._client.address, schema.schema_id, wanted
            )
            return
        found = name_at(file, path)
        if found is None:
            raise DecodeError(f"it says that it is message {path} of schema {schema.schema_id}, which has none there")
        if found != wanted:
            raise DecodeError(f"it is a {found} by schema {schema.schema_id}, and {wanted} is read")
