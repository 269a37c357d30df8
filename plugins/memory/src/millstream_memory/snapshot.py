"""A snapshot of heap tables: taken at once as shallow copies, turned into bytes a slice at a time."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.state_backend import StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.errors import StateNotEncodable
from millstream.state.chunks import assemble, encode_segment
from millstream_memory.guarded import EncodedEarly

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

STEP_ENTRIES: Final = 512
"""Entries regrouped, or at most encoded, between two looks at the clock."""

_SEGMENT_BYTES: Final = 64 * 1024
_FIRST_SEGMENT_ENTRIES: Final = 32


class PendingTable:
    """What has still to be encoded of one table.

    Attributes:
        spec: the table.
        entries: the copy made at the barrier. Encoded entries leave it; those encoded early are `EncodedEarly` in it.
    """

    __slots__ = ("entries", "spec")

    def __init__(self, spec: TableSpec, live: dict[Any, Any]) -> None:
        self.spec = spec
        self.entries: dict[Any, Any] = (
            live.copy() if spec.layout == "flat" else {namespace: inner.copy() for namespace, inner in live.items()}
        )

    def drop(self) -> None:
        """Lets go of everything; guards that somebody still holds find nothing to encode."""
        if self.spec.layout == "namespaced":
            for inner in self.entries.values():
                inner.clear()
        self.entries.clear()


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

    def encoder(self, table: PendingTable) -> Callable[[Any, Any], EncodedEarly]:
        """What encodes values of a table, given with their keys, ahead of their turn.

        It never raises: the code that touches a value is not to blame for it, and its job goes on. The next `advance` raises instead.
        """
        encode = table.spec.values.encode

        def encode_early(key: Any, value: Any) -> EncodedEarly:
            try:
                return EncodedEarly(encode(value))
            except Exception as error:  # noqa: BLE001 - encoding may call the methods of a user's type, which raise anything
                self._failure = self._failure or self._not_encodable(table.spec, _short(key), error)
                return EncodedEarly(b"")

        return encode_early

    def _not_encodable(self, spec: TableSpec, entry: str, error: Exception) -> StateNotEncodable:
        failure = StateNotEncodable(operator=self._context.operator_uid, state=spec.name, entry=entry, reason=_reason(error))
        failure.__cause__ = error
        return failure

    def _work(self) -> Generator[None, None, None]:
        for table in self._tables:
            if table.spec.layout == "flat":
                yield from self._flat(table)
            else:
                yield from self._namespaced(table)

    def _flat(self, table: PendingTable) -> Generator[None, None, None]:
        groups: defaultdict[int, list[Any]] = defaultdict(list)
        group_of, pending = self._context.key_group_of, table.entries
        keys = iter(pending)
        while step := list(islice(keys, STEP_ENTRIES)):
            for key in step:
                groups[group_of(key)].append(key)
            yield
        for group in sorted(groups):
            keys_of_group = groups.pop(group)
            chunk = _ChunkInTheMaking(table.spec, group)
            while step := keys_of_group[chunk.entries : chunk.entries + chunk.next_size]:
                self._encode(chunk, step, list(map(pending.pop, step)), None)
                yield
            self._chunks.append(chunk.finish())

    def _namespaced(self, table: PendingTable) -> Generator[None, None, None]:
        groups: defaultdict[int, tuple[list[Any], list[int]]] = defaultdict(lambda: ([], []))
        group_of, pending = self._context.key_group_of, table.entries
        entries = ((namespace, key) for namespace, inner in pending.items() for key in inner)
        while step := list(islice(entries, STEP_ENTRIES)):
            for namespace, key in step:
                keys_of_group, namespaces_of_group = groups[group_of(key)]
                keys_of_group.append(key)
                namespaces_of_group.append(namespace)
            yield
        for group in sorted(groups):
            keys_of_group, namespaces_of_group = groups.pop(group)
            chunk = _ChunkInTheMaking(table.spec, group)
            while keys := keys_of_group[chunk.entries : chunk.entries + chunk.next_size]:
                namespaces = namespaces_of_group[chunk.entries : chunk.entries + chunk.next_size]
                self._encode(chunk, keys, _take(pending, namespaces, keys), namespaces)
                yield
            self._chunks.append(chunk.finish())

    def _encode(self, chunk: _ChunkInTheMaking, keys: list[Any], values: list[Any], namespaces: list[int] | None) -> None:
        try:
            chunk.add(keys, values, namespaces)
        except Exception as error:  # encoding may call the methods of a user's type, which raise anything
            raise self._not_encodable(chunk.spec, _culprit(chunk.spec, keys, values), error) from error


def _take(pending: dict[int, dict[Any, Any]], namespaces: list[int], keys: list[Any]) -> list[Any]:
    """Removes entries, and namespaces that have none left."""
    values = []
    for namespace, key in zip(namespaces, keys):
        inner = pending[namespace]
        values.append(inner.pop(key))
        if not inner:
            del pending[namespace]
    return values


class _ChunkInTheMaking:
    """The entries of one key group, encoded in segments whose size follows from that of the values: by bytes, not by entries."""

    def __init__(self, spec: TableSpec, key_group: int) -> None:
        self.spec = spec
        self.entries = 0
        self.next_size = _FIRST_SEGMENT_ENTRIES
        self._key_group = key_group
        self._segments: list[bytes] = []

    def add(self, keys: list[Any], values: list[Any], namespaces: list[int] | None) -> None:
        alone: list[bytes] = []
        if EncodedEarly in map(type, values):
            keys, values, namespaces, alone = _sort_out(keys, values, namespaces)
        segment = encode_segment(self.spec, keys, values, namespaces, alone)
        self._segments.append(segment)
        self.entries += len(keys)
        self.next_size = max(1, min(STEP_ENTRIES, _SEGMENT_BYTES * len(keys) // len(segment), 8 * self.next_size))

    def finish(self) -> StateChunk:
        data = assemble(self.spec.layout, self._segments)
        return StateChunk(table=self.spec.name, key_group=self._key_group, entries=self.entries, data=data)


def _sort_out(
    keys: list[Any], values: list[Any], namespaces: list[int] | None
) -> tuple[list[Any], list[Any], list[int] | None, list[bytes]]:
    """The same entries with those that were encoded early at the end."""
    early = [type(value) is EncodedEarly for value in values]
    order = sorted(range(len(keys)), key=early.__getitem__)
    first_early = len(keys) - sum(early)
    return (
        [keys[i] for i in order],
        [values[i] for i in order[:first_early]],
        namespaces and [namespaces[i] for i in order],
        [values[i].data for i in order[first_early:]],
    )


def _culprit(spec: TableSpec, keys: list[Any], values: list[Any]) -> str:
    """The first key whose entry cannot be encoded on its own, shortened; empty when each one can."""
    for key, value in zip(keys, values):
        try:
            spec.keys.encode(key)
            if type(value) is not EncodedEarly:
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
