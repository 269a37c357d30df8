"""The entries of one key group of one table, on their way into a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.contracts.state_chunks import encode_segment, transformed

if TYPE_CHECKING:
    from millstream.contracts.state_backend import TableSpec


class Group:
    """Parallel lists; `namespaces` is empty for a flat table."""

    __slots__ = ("keys", "namespaces", "values")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.namespaces: list[int] = []

    def part(self, start: int, stop: int) -> Group:
        """Some of the entries."""
        part = Group()
        part.keys, part.values, part.namespaces = self.keys[start:stop], self.values[start:stop], self.namespaces[start:stop]
        return part

    def encode(self, spec: TableSpec, early: list[bytes | None]) -> bytes:
        """A segment, with the values that were encoded early at its end; what the table's transform drops is gone from the group.

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

    def _sort_out(self, early: list[bytes | None]) -> list[bytes]:
        order = sorted(range(len(early)), key=lambda i: early[i] is not None)
        self.keys = [self.keys[i] for i in order]
        self.values = [self.values[i] for i in order]
        self.namespaces = self.namespaces and [self.namespaces[i] for i in order]
        return [data for data in early if data is not None]
