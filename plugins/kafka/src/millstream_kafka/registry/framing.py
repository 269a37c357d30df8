"""What stands in front of a value: a zero byte and the id of its schema in 4 bytes; for Protobuf also which of the schema's messages it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.contracts.format import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_BYTES: Final = 5
"""Of the zero byte and the id."""

_MOST_INDEXES: Final = 64
"""Messages are not nested deeper than this; more is no count but other bytes."""


def id_head(schema_id: int) -> bytes:
    """The zero byte and the id."""
    return b"\0" + schema_id.to_bytes(4, "big")


def id_of(raw: bytes) -> int:
    """The id at the front of a value. Raises DecodeError."""
    if len(raw) < ID_BYTES:
        raise DecodeError(f"it has {len(raw)} bytes, too few for the id of a schema: it was not written with a schema registry")
    if raw[0]:
        reason = (
            f"it begins with byte 0x{raw[0]:02x} where a zero byte and the id of a schema have to stand: it was not written with a schema registry"
        )
        raise DecodeError(reason)
    return int.from_bytes(raw[1:ID_BYTES], "big")


def message_path_head(path: Sequence[int]) -> bytes:
    """Which message of a Protobuf file it is: 0-based indexes, from the outermost in; the first message is one zero byte."""
    if list(path) == [0]:
        return b"\0"
    return b"".join(map(_zigzag, (len(path), *path)))


def message_path_of(raw: bytes) -> tuple[list[int], int]:
    """The indexes behind the id, and where the message begins. Raises DecodeError."""
    id_of(raw)
    count, place = _unzigzag(raw, ID_BYTES)
    if count == 0:
        return [0], place
    if not 0 < count <= _MOST_INDEXES:
        raise DecodeError(f"it names {count} indexes of messages behind the id of its schema: it is no Protobuf written with a schema registry")
    path = []
    for _ in range(count):
        index, place = _unzigzag(raw, place)
        path.append(index)
    return path, place


def _zigzag(number: int) -> bytes:
    left = number << 1  # never negative here
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _unzigzag(raw: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    for at in range(place, min(len(raw), place + 5)):
        number |= (raw[at] & 0x7F) << shift
        if raw[at] < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
    raise DecodeError("it ends inside the indexes of its message, behind the id of its schema")
