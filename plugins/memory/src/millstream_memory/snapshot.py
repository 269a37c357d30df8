"""A snapshot of heap tables: taken at once as shallow copies, turned into bytes a slice at a time."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice, repeat, starmap
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.state_backend import StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import assemble, encode_segment, transformed
from millstream.errors import StateNotEncodable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

STEP_ENTRIES: Final = 512
"""Entries regrouped, or at most encoded, between two looks at the clock."""

_SEGMENT_BYTES: Final = 64 * 1024
_FIRST_SEGMENT_ENTRIES: Final = 32


class PendingTable:
    """What a snapshot holds of one table.

    Attributes:
        spec: the table.
        entries: the copy made at the barrier.
        early: what was encoded ahead of its turn, in the layout of the table; b"" for what its turn had come for before.
        done_below: key groups below this one have been encoded.
    """

    __slots__ = ("done_below", "early", "entries", "spec")

    def __init__(self, spec: TableSpec, live: dict[Any, Any]) -> None:
        self.spec = spec
        self.entries: dict[Any, Any] = live.copy() if spec.layout == "flat" else {namespace: inner.copy() for namespace, inner in live.items()}
        self.early: dict[Any, Any] = {}
        self.done_below = 0

    def drop(self) -> None:
        """Lets go of everything; guards that somebody still holds find nothing to encode."""
        if self.spec.layout == "namespaced":
            for inner in self.entries.values():
                inner.clear()
        self.entries.clear()
        self.early.clear()


class MemoryTableSnapshot(TableSnapshot):
    """Regroups by key group and encodes, table after table.

    Args:
        context: of the tables.
        tables: copies of the tables.
        on_end: called once, when the tables may be bare again.
    """

    def __init__(self, context: StateBackendContext, tables: Sequence[PendingTable], on_end: Callable[[], None]) -> None:
        self._context = context
        self._tables = tables
        self._on_end = on_end
        self._chunks: list[StateChunk] = []
        self._steps = self._work()
        self._failure: StateNotEncodable | None = None
        self._ended = False
        self._ready = False

    def advance(self, until_s: float) -> bool:
        """As in the contract.

        Raises:
            StateNotEncodable: a value cannot be encoded. The snapshot has ended.
        """
        if self._ended:
            if not self._ready:
                msg = "this snapshot has been abandoned"
                raise RuntimeError(msg)
            return True
        try:
            if self._failure is not None:
                raise self._failure
            for _ in self._steps:
                if self._context.clock.monotonic_s() >= until_s:
                    return False
        except BaseException:  # a generator that was left by any exception looks finished to the next call
            self._end()
            raise
        self._ready = True
        self._end()
        return True

    def chunks(self) -> Iterable[StateChunk]:
        if not self._ready:
            msg = "this snapshot is not ready: call advance until it returns True"
            raise RuntimeError(msg)
        return self._chunks

    def abandon(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._steps.close()
            for table in self._tables:
                table.drop()
            self._on_end()

    def encoder(self, table: PendingTable) -> Callable[[Any, Any], bytes]:
        """What encodes values of a table, given with their keys, ahead of their turn.

        It never raises: the code that touches a value is not to blame for it, and its job goes on. The next `advance` raises instead.
        """
        encode, group_of = table.spec.values.encode, self._context.key_group_of

        def encode_early(key: Any, value: Any) -> bytes:
            try:
                return b"" if table.done_below and group_of(key) < table.done_below else encode(value)
            except Exception as error:  # noqa: BLE001 - encoding may call the methods of a user's type, which raise anything
                self._failure = self._failure or self._not_encodable(table.spec, _short(key), error)
                return b""

        return encode_early

    def _not_encodable(self, spec: TableSpec, entry: str, error: Exception) -> StateNotEncodable:
        failure = StateNotEncodable(operator=self._context.operator_uid, state=spec.name, entry=entry, reason=_reason(error))
        failure.__cause__ = error
        return failure

    def _work(self) -> Generator[None, None, None]:
        for table in self._tables:
            groups: defaultdict[int, _Group] = defaultdict(_Group)
            yield from self._regroup(table, groups)
            for number in sorted(groups):
                yield from self._encode(table, number, groups.pop(number))
                table.done_below = number + 1
            yield from _let_go(table)

    def _regroup(self, table: PendingTable, groups: defaultdict[int, _Group]) -> Generator[None, None, None]:
        group_of = self._context.key_group_of
        namespaced = table.spec.layout == "namespaced"
        for namespace, entries in table.entries.items() if namespaced else ((0, table.entries),):
            items = iter(entries.items())
            for _ in range(0, len(entries), STEP_ENTRIES):
                for key, value in islice(items, STEP_ENTRIES):
                    group = groups[group_of(key)]
                    group.keys.append(key)
                    group.values.append(value)
                    if namespaced:
                        group.namespaces.append(namespace)
                yield

    def _encode(self, table: PendingTable, number: int, group: _Group) -> Generator[None, None, None]:
        """Encodes a key group in segments whose size follows from that of the values: by bytes, not by entries."""
        spec = table.spec
        segments: list[bytes] = []
        entries = 0
        at, size = 0, _FIRST_SEGMENT_ENTRIES
        while at < len(group.keys):
            part = group.part(at, at + size)
            try:
                segment = part.encode(spec, table.early)
            except Exception as error:  # encoding may call the methods of a user's type, which raise anything
                raise self._not_encodable(spec, _culprit(spec, part.keys, part.values), error) from error
            segments.append(segment)
            entries += len(part.keys)
            at += size
            size = max(1, min(STEP_ENTRIES, _SEGMENT_BYTES * size // len(segment), 8 * size))
            yield
        if entries:
            data = assemble(spec.layout, segments)
            self._chunks.append(StateChunk(table=spec.name, key_group=number, entries=entries, data=data))


class _Group:
    """Entries of one key group as parallel lists; `namespaces` is empty for a flat table."""

    __slots__ = ("keys", "namespaces", "values")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.namespaces: list[int] = []

    def part(self, start: int, stop: int) -> _Group:
        part = _Group()
        part.keys, part.values, part.namespaces = self.keys[start:stop], self.values[start:stop], self.namespaces[start:stop]
        return part

    def encode(self, spec: TableSpec, early: dict[Any, Any]) -> bytes:
        """A segment, with the values that were encoded early at its end; what the table's transform drops is gone from the group."""
        alone = self._sort_out(early) if early else []
        if spec.transform is not None:
            self._transform(spec, len(self.keys) - len(alone))
        values = self.values[: len(self.keys) - len(alone)]
        return encode_segment(spec, self.keys, values, self.namespaces if spec.layout == "namespaced" else None, alone)

    def _transform(self, spec: TableSpec, count: int) -> None:
        kept = transformed(spec, self.keys[:count], self.values[:count], self.namespaces[:count])
        self.keys[:count], self.values[:count], self.namespaces[:count] = kept.keys, kept.values, kept.namespaces or ()

    def _sort_out(self, early: dict[Any, Any]) -> list[bytes]:
        if self.namespaces:
            nothing: dict[Any, bytes] = {}
            found = [early.get(namespace, nothing).get(key) for namespace, key in zip(self.namespaces, self.keys)]
        else:
            found = list(map(early.get, self.keys))
        order = sorted(range(len(found)), key=lambda i: found[i] is not None)
        self.keys = [self.keys[i] for i in order]
        self.values = [self.values[i] for i in order]
        self.namespaces = self.namespaces and [self.namespaces[i] for i in order]
        return [data for data in found if data is not None]


def _let_go(table: PendingTable) -> Generator[None, None, None]:
    """Empties the copy step by step: to free a million entries takes as long as to copy them."""
    inner_dicts = list(table.entries.values()) if table.spec.layout == "namespaced" else []
    for entries in (*inner_dicts, table.entries):
        while entries:
            list(starmap(entries.popitem, repeat((), min(STEP_ENTRIES, len(entries)))))
            yield


def _culprit(spec: TableSpec, keys: list[Any], values: list[Any]) -> str:
    """The first key whose entry cannot be encoded on its own, shortened; empty when each one can."""
    for key, value in zip(keys, values):
        try:
            spec.keys.encode(key)
            spec.values.encode(value)
        except Exception:  # noqa: BLE001 - looks for what raises, whatever it raises
            return _short(key)
    return ""


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
