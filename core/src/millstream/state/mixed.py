"""State that was written in two ways: typed, as an annotation said, and with the data codec from the first value on that did not match.

Which of the two wrote a piece shows in its first byte: the data codec begins with one of three that MessagePack has for the numbers 16, 17
and 18 alone, each a whole piece of one byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.serializer import SerializerDescription
from millstream.state.data_codec import FIRST_BYTES
from millstream.state.data_codec_registered import MIXED
from millstream.state.readers import PresentSerializer

if TYPE_CHECKING:
    from millstream.contracts.serializer import Serializer

T = TypeVar("T")

VERSION: Final = 1


def mixed(typed: SerializerDescription, data: SerializerDescription) -> SerializerDescription:
    """Describes both."""
    schema = {"typed": typed.schema, "typed_version": typed.version, "data": data.schema, "data_version": data.version}
    return SerializerDescription(kind=MIXED, version=VERSION, type_name=typed.type_name, schema=schema)


def parts_of(stored: SerializerDescription) -> tuple[SerializerDescription, SerializerDescription]:
    """The description of what was written typed, and of what the data codec wrote."""
    schema: dict[str, Any] = stored.schema
    typed = SerializerDescription(kind="typed", version=schema["typed_version"], type_name=stored.type_name, schema=schema["typed"])
    return typed, SerializerDescription(kind="data", version=schema["data_version"], type_name="Any", schema=schema["data"])


class MixedReader(PresentSerializer[T]):
    """Reads each piece as it was written.

    Args:
        typed: reads what was written typed.
        data: reads what the data codec wrote.
        present: what will write the values.
    """

    def __init__(self, typed: Serializer[T], data: Serializer[T], present: Serializer[T]) -> None:
        super().__init__(present)
        self._typed = typed
        self._data = data

    def decode(self, data: bytes | memoryview) -> T:
        return self._reader_of(data).decode(data)

    def decode_many(self, data: bytes | memoryview) -> list[T]:
        return self._reader_of(data).decode_many(data)

    def _reader_of(self, data: bytes | memoryview) -> Serializer[T]:
        return self._data if len(data) > 1 and data[0] in FIRST_BYTES else self._typed
