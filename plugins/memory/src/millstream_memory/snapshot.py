"""A snapshot of heap tables: nothing is copied at the barrier; listed and turned into bytes a slice at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.state_backend import StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import assemble
from millstream.errors import StateNotEncodable
from millstream_memory.pending import STEP_ENTRIES, PendingTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from millstream_memory.group import Group

_SEGMENT_BYTES: Final = 64 * 1024
_FIRST_SEGMENT_ENTRIES: Final = 32


class MemoryTableSnapshot(TableSnapshot):
    """Lists the entries of all tables by key group, then encodes them, table after table.

    Args:
        context: of the tables.
        tables: each with its dict.
        on_swap: called when others stand in for the tables than before: when all are listed; and at the end, from when they are bare.

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
                table.end()
            self._on_swap()

    def _encode_early(self, table: PendingTable, key: Any, value: Any) -> bytes:
        """Encodes a value ahead of its turn.

        It never raises: the code that touches a value is not to blame for it, and its job goes on. The next `advance` raises instead.
        """
        try:
            if self.ended or (table.done_below and self._context.key_group_of(key) < table.done_below):
                return b""
            return table.spec.values.encode(value)
        except Exception as error:  # noqa: BLE001 - encoding may call the methods of a user's type, which raise anything
            self._failure = self._failure or self._not_encodable(table.spec, _short(key), error)
            return b""

    def _not_encodable(self, spec: TableSpec, entry: str, error: Exception) -> StateNotEncodable:
        failure = StateNotEncodable(operator=self._context.operator_uid, state=spec.name, entry=entry, reason=_reason(error))
        failure.__cause__ = error
        return failure

    def _work(self) -> Generator[None, None, None]:
        # All tables first: as long as one is being listed, what comes new waits outside of it.
        for table in self._tables:
            yield from table.gather(self._context.key_groups_of)
        for table in self._tables:
            table.settle()
        self._on_swap()
        yield
        for table in self._tables:
            for number in sorted(table.groups):
                yield from self._encode(table, number, table.groups.pop(number))
                table.done_below = number + 1

    def _encode(self, table: PendingTable, number: int, group: Group) -> Generator[None, None, None]:
        """Encodes a key group in segments whose size follows from that of the values: by bytes, not by entries."""
        spec = table.spec
        segments: list[bytes] = []
        entries = 0
        at, size = 0, _FIRST_SEGMENT_ENTRIES
        while at < len(group.keys):
            part = group.part(at, at + size)
            try:
                segment = part.encode(spec, table.early(part))
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
