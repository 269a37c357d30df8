"""A snapshot of heap tables: nothing is copied at the barrier; entries are turned into bytes a slice at a time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from millstream.contracts.state_backend import StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import assemble
from millstream.errors import StateNotEncodable
from millstream_memory.group import Group
from millstream_memory.pending import PendingTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from millstream_memory.pending import Step


class MemoryTableSnapshot(TableSnapshot):
    """Sorts entries into key groups, and encodes those of a group as soon as they are enough; table after table.

    Args:
        context: of the tables.
        tables: each with its dict.
        on_swap: called at the end, when the tables are bare again.

    Attributes:
        ended: it is ready or was abandoned.
    """

    def __init__(self, context: StateBackendContext, tables: Sequence[tuple[TableSpec, dict[Any, Any]]], on_swap: Callable[[], None]) -> None:
        self._context = context
        self._tables = [PendingTable(spec, live, self._encode_early) for spec, live in tables]
        self._on_swap = on_swap
        self._chunks: list[StateChunk] = []
        self._steps = self._work()
        self._failure: StateNotEncodable | None = None
        self.ended = False
        self._ready = False

    def stand_ins(self) -> Mapping[str, Any]:
        """What to use in the place of the tables now, by their names."""
        return {table.spec.name: table.stand_in for table in self._tables}

    def advance(self, until_s: float) -> bool:
        """As in the contract.

        Raises:
            StateNotEncodable: a value cannot be encoded. The snapshot has ended.
        """
        if self.ended:
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
        if not self.ended:
            self.ended = True
            self._steps.close()
            for table in self._tables:
                table.settle()
            self._on_swap()

    def _encode_early(self, spec: TableSpec, key: Any, value: Any) -> bytes:
        """Encodes a value ahead of its turn.

        It never raises: the code that touches a value is not to blame for it, and its job goes on. The next `advance` raises instead.
        """
        try:
            return spec.values.encode(value)
        except Exception as error:  # noqa: BLE001 - encoding may call the methods of a user's type, which raise anything
            self._failure = self._failure or self._not_encodable(spec, _short(key), error)
            return b""

    def _not_encodable(self, spec: TableSpec, entry: str, error: Exception) -> StateNotEncodable:
        failure = StateNotEncodable(operator=self._context.operator_uid, state=spec.name, entry=entry, reason=_reason(error))
        failure.__cause__ = error
        return failure

    def _work(self) -> Generator[None, None, None]:
        for table in self._tables:
            groups: defaultdict[int, Group] = defaultdict(Group)
            for step in table.steps():
                for group in self._sort(step, groups):
                    while group.is_full():
                        self._encode(table, group)
                        yield
                yield
            for number in sorted(groups):
                yield from self._finish(table, number, groups[number])
            table.settle()

    def _sort(self, step: Step, groups: defaultdict[int, Group]) -> list[Group]:
        """Puts entries into their groups; those groups."""
        keys, values, namespaces = step
        numbers = self._context.key_groups_of(keys)
        for key, value, number in zip(keys, values, numbers):
            group = groups[number]
            group.keys.append(key)
            group.values.append(value)
        for namespace, number in zip(namespaces, numbers):
            groups[number].namespaces.append(namespace)
        return [groups[number] for number in dict.fromkeys(numbers)]

    def _encode(self, table: PendingTable, group: Group) -> None:
        entries = group.take()
        try:
            segment = entries.encode(table.spec, table.early(entries))
        except Exception as error:  # encoding may call the methods of a user's type, which raise anything
            raise self._not_encodable(table.spec, _culprit(table.spec, entries.keys, entries.values), error) from error
        group.add(segment, len(entries.keys))

    def _finish(self, table: PendingTable, number: int, group: Group) -> Generator[None, None, None]:
        while group.keys:
            self._encode(table, group)
            yield
        if group.entries:
            data = assemble(table.spec.layout, group.segments)
            self._chunks.append(StateChunk(table=table.spec.name, key_group=number, entries=group.entries, data=data))
            group.segments.clear()
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
