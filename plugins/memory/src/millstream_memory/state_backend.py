"""Working state on the heap: one dict per table, and nothing between it and the operators' loops.

Values are live objects. Code that changes a value it has read need not write it back here, but must on other backends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.contracts.state_backend import KeyedTables, StateBackend, StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import decode_chunk
from millstream_memory.snapshot import MemoryTableSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping


@dataclass(frozen=True)
class MemoryStateBackend(StateBackend):
    """Keeps state in the memory of the worker; the whole of it must fit."""

    def open(self, context: StateBackendContext) -> KeyedTables:
        return MemoryKeyedTables(context)


class _Table:
    __slots__ = ("live", "spec", "stand_in")

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec
        self.live: dict[Any, Any] = {}
        self.stand_in: MutableMapping[Any, Any] | None = None


class MemoryKeyedTables(KeyedTables):
    """The tables of one operator subtask."""

    def __init__(self, context: StateBackendContext) -> None:
        self._context = context
        self._tables: dict[str, _Table] = {}
        self._pending: MemoryTableSnapshot | None = None

    def table(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        """As in the contract. The serializers of the newest `spec` are the ones that the next snapshot uses.

        Raises:
            ValueError: the table exists with the other layout.
        """
        table = self._find(spec)
        table.spec = spec
        return table.live if table.stand_in is None else table.stand_in

    def _find(self, spec: TableSpec) -> _Table:
        table = self._tables.get(spec.name)
        if table is None:
            table = self._tables[spec.name] = _Table(spec)
        if table.spec.layout != spec.layout:
            msg = f"table {spec.name!r} of operator {self._context.operator_uid!r} is {table.spec.layout}, not {spec.layout}"
            raise ValueError(msg)
        return table

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        if self._pending is not None:
            msg = f"checkpoint {checkpoint_id} cannot begin: an earlier snapshot of operator {self._context.operator_uid!r} is pending"
            raise RuntimeError(msg)
        tables = [(table.spec, table.live) for table in self._tables.values() if table.live]
        snapshot = self._pending = MemoryTableSnapshot(self._context, tables, self._swap)
        self._swap()
        return snapshot

    def _swap(self) -> None:
        if self._pending is not None and self._pending.ended:
            self._pending = None
        stand_ins = {} if self._pending is None else self._pending.stand_ins()
        for name, table in self._tables.items():
            table.stand_in = stand_ins.get(name)
        self._context.on_swap()

    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        live = self._find(spec).live
        for chunk in chunks:
            for keys, namespaces, values in decode_chunk(spec, chunk):
                if namespaces is None:
                    live.update(zip(keys, values))
                else:
                    for namespace, key, value in zip(namespaces, keys, values):
                        live.setdefault(namespace, {})[key] = value

    def close(self) -> None:
        if self._pending is not None:
            self._pending.abandon()
        self._tables.clear()
