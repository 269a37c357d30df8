"""The encoded form of a `StateChunk`, the same for every backend.

    chunk     = "MSSC"  version: u8  layout: u8 (0 flat, 1 namespaced)  segments: u32  segment*  crc32 of all before: u32
    segment   = entries: u32  alone: u32  keys: column  [namespaces: i64 * entries]  values: column  alone * column
    column    = length in bytes: u64  bytes

Numbers are big-endian; `namespaces` is there in namespaced chunks only. `keys` is what the key serializer's `encode_many` gives for all
entries, `values` the same of the value serializer for all entries but the last `alone` ones, whose values were encoded one by one
because something touched them while the snapshot was pending.
"""

from __future__ import annotations

import struct
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from zlib import crc32

from millstream.contracts.state_backend import DROPPED, StateChunk
from millstream.errors import DamagedState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from millstream.contracts.state_backend import TableSpec

MAGIC: Final = b"MSSC"
VERSION: Final = 1

_LAYOUTS: Final[dict[str, int]] = {"flat": 0, "namespaced": 1}
_HEAD = struct.Struct(">4sBBI")
_SEGMENT = struct.Struct(">II")
_LENGTH = struct.Struct(">Q")
_CHECKSUM = struct.Struct(">I")


class Segment(NamedTuple):
    """Entries as three parallel lists.

    Attributes:
        namespaces: None in a flat table.
    """

    keys: Sequence[Any]
    namespaces: Sequence[int] | None
    values: Sequence[Any]


def transformed(spec: TableSpec, keys: Sequence[Any], values: Sequence[Any], namespaces: Sequence[int] | None = None) -> Segment:
    """Entries as the table's `transform` leaves them; for whoever encodes segments."""
    if spec.transform is None:
        return Segment(keys, namespaces, values)
    values = spec.transform(values)
    kept = [value is not DROPPED for value in values]
    if all(kept):
        return Segment(keys, namespaces, values)
    return Segment(list(compress(keys, kept)), None if namespaces is None else list(compress(namespaces, kept)), list(compress(values, kept)))


def encode_segment(
    spec: TableSpec, keys: Sequence[Any], values: Sequence[Any], namespaces: Sequence[int] | None = None, alone: Sequence[bytes] = ()
) -> bytes:
    """A part of a chunk.

    Args:
        spec: the table.
        keys: the keys of all entries, len(values) + len(alone) of them.
        values: the values of the first entries.
        namespaces: parallel to `keys` in a namespaced table, None in a flat one; 64-bit integers.
        alone: the values of the other entries, each encoded already.
    """
    parts = [_SEGMENT.pack(len(keys), len(alone)), *_column(spec.keys.encode_many(keys))]
    if namespaces is not None:
        parts.append(struct.pack(f">{len(namespaces)}q", *namespaces))
    parts += _column(spec.values.encode_many(values))
    for data in alone:
        parts += _column(data)
    return b"".join(parts)


def _column(data: bytes) -> tuple[bytes, bytes]:
    return _LENGTH.pack(len(data)), data


def assemble(layout: Literal["flat", "namespaced"], segments: Sequence[bytes]) -> bytes:
    """`StateChunk.data` of segments."""
    head = _HEAD.pack(MAGIC, VERSION, _LAYOUTS[layout], len(segments))
    checksum = crc32(head)
    for segment in segments:
        checksum = crc32(segment, checksum)
    return b"".join((head, *segments, _CHECKSUM.pack(checksum)))


def encode_chunk(spec: TableSpec, key_group: int, keys: Sequence[Any], values: Sequence[Any], namespaces: Sequence[int] | None = None) -> StateChunk:
    """A whole chunk at once, for tables that are small."""
    keys, namespaces, values = transformed(spec, keys, values, namespaces)
    data = assemble(spec.layout, [encode_segment(spec, keys, values, namespaces)])
    return StateChunk(table=spec.name, key_group=key_group, entries=len(keys), data=data)


def decode_chunk(spec: TableSpec, chunk: StateChunk) -> Iterator[Segment]:
    """The entries of a chunk, segment by segment. Nothing is decoded before the whole chunk is known to be intact.

    Args:
        spec: the table, with serializers that can read what the chunk's own wrote. Its `transform` is applied.
        chunk: the chunk.

    Raises:
        DamagedState: the bytes are not what was written.
        ChangedClass: as for `Serializer.decode`.
    """
    return _Reader(spec, chunk).segments()


class _Reader:
    def __init__(self, spec: TableSpec, chunk: StateChunk) -> None:
        self._spec = spec
        self._chunk = chunk
        self._data = memoryview(chunk.data)
        self._at = 0
        self._end = len(chunk.data) - _CHECKSUM.size

    def segments(self) -> Iterator[Segment]:
        count = self._check_head()
        entries = 0
        for _ in range(count):
            keys, namespaces, values = self._segment()
            entries += len(keys)
            yield transformed(self._spec, keys, values, namespaces)
        if self._at != self._end:
            raise self._damaged(f"{self._end - self._at} bytes follow the last segment")
        if entries != self._chunk.entries:
            raise self._damaged(f"{entries} entries instead of {self._chunk.entries}")

    def _check_head(self) -> int:
        if self._end < _HEAD.size:
            raise self._damaged(f"{len(self._data)} bytes are too few")
        magic, version, layout, count = _HEAD.unpack(self._take(_HEAD.size))
        if magic != MAGIC:
            raise self._damaged(f"it starts with {magic!r}")
        if version != VERSION:
            raise self._damaged(f"its version is {version}; this release reads version {VERSION}")
        if _CHECKSUM.unpack(self._data[self._end :]) != (crc32(self._data[: self._end]),):
            raise self._damaged("its checksum is wrong")
        if layout != _LAYOUTS[self._spec.layout]:
            raise self._damaged(f"its layout is {layout}, but the table is {self._spec.layout}")
        return int(count)

    def _segment(self) -> Segment:
        entries, alone = _SEGMENT.unpack(self._take(_SEGMENT.size))
        keys = self._spec.keys.decode_many(self._column())
        namespaces = struct.unpack(f">{entries}q", self._take(8 * entries)) if self._spec.layout == "namespaced" else None
        values = self._spec.values.decode_many(self._column())
        values += [self._spec.values.decode(self._column()) for _ in range(alone)]
        if not len(keys) == len(values) == entries:
            raise self._damaged(f"{entries} entries have {len(keys)} keys and {len(values)} values")
        return Segment(keys, namespaces, values)

    def _column(self) -> memoryview:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        return self._take(length)

    def _take(self, size: int) -> memoryview:
        start, self._at = self._at, self._at + size
        if self._at > self._end:
            raise self._damaged(f"it ends {self._at - self._end} bytes early")
        return self._data[start : self._at]

    def _damaged(self, what: str) -> DamagedState:
        return DamagedState(serializer=f"key group {self._chunk.key_group} of state {self._chunk.table!r}", reason=what)
