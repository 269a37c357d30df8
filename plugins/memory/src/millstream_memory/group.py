"""The entries of one key group of one table, on their way into a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.state_chunks import encode_segment, transformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.state_backend import TableSpec

MOST_ENTRIES: Final = 256
"""Entries encoded at once. Those that wait are looked at by the cyclic garbage collector, so they must not be many."""

_SEGMENT_BYTES: Final = 64 * 1024
_FIRST_SEGMENT_ENTRIES: Final = 32


class Group:
    """Entries that wait, as parallel lists, and the segments made of those before them.

    Where a segment ends depends on the entries of the group alone, so that a group that has not changed gives the same bytes again.

    Attributes:
        namespaces: empty for a flat table.
        segments: encoded.
        entries: number of entries in the segments.
    """

    __slots__ = ("_size", "entries", "keys", "namespaces", "segments", "values")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.namespaces: list[int] = []
        self.segments: list[bytes] = []
        self.entries = 0
        self._size = min(_FIRST_SEGMENT_ENTRIES, MOST_ENTRIES)

    def is_full(self) -> bool:
        """Whether there is enough for a segment."""
        return len(self.keys) >= self._size

    def take(self) -> Entries:
        """The entries of the next segment."""
        size = self._size
        taken = Entries(self.keys[:size], self.values[:size], self.namespaces[:size])
        del self.keys[:size], self.values[:size], self.namespaces[:size]
        return taken

    def add(self, segment: bytes, entries: int) -> None:
        """A segment is made. The size of the next one follows from that of its values: by bytes, not by entries."""
        self.segments.append(segment)
        self.entries += entries
        self._size = max(1, min(MOST_ENTRIES, _SEGMENT_BYTES * self._size // len(segment), 8 * self._size))


class Entries:
    """Some entries as parallel lists; `namespaces` is empty for a flat table."""

    __slots__ = ("keys", "namespaces", "values")

    def __init__(self, keys: list[Any], values: list[Any], namespaces: list[int]) -> None:
        self.keys = keys
        self.values = values
        self.namespaces = namespaces

    def encode(self, spec: TableSpec, early: Sequence[bytes | None]) -> bytes:
        """A segment, with the values that were encoded early at its end; what the table's transform drops is gone from the lists.

        Args:
            spec: the table.
            early: parallel to the entries, None for those whose values are to be encoded now; or empty for all of them.
        """
        alone = self._sort_out(early) if early else []
        if spec.transform is not None:
            self._transform(spec, len(self.keys) - len(alone))
        values = self.values[: len(self.keys) - len(alone)]
        return encode_segment(spec, self.keys, values, self.namespaces if spec.layout == "namespaced" else None, alone)

    def _transform(self, spec: TableSpec, count: int) -> None:
        kept = transformed(spec, self.keys[:count], self.values[:count], self.namespaces[:count])
        self.keys[:count], self.values[:count], self.namespaces[:count] = kept.keys, kept.values, kept.namespaces or ()

    def _sort_out(self, early: Sequence[bytes | None]) -> list[bytes]:
        order = sorted(range(len(early)), key=lambda i: early[i] is not None)
        self.keys = [self.keys[i] for i in order]
        self.values = [self.values[i] for i in order]
        self.namespaces = self.namespaces and [self.namespaces[i] for i in order]
        return [data for data in early if data is not None]
