"""A task's part of a checkpoint between the barrier and the acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from millstream.checkpoint.manifest import (
    ChunkRef,
    OperatorListRef,
    OperatorState,
    StateFileWriter,
    TaskState,
)
from millstream.ports import crash_point
from millstream.records import MIN_TIMESTAMP
from millstream.runtime.operators.keyed import KeyedOperator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.contracts.state_backend import StateChunk
    from millstream.graph.execution_graph import SubtaskId
    from millstream.runtime.chain import OperatorChain
    from millstream.runtime.operators.base import OperatorSnapshot
    from millstream.state.operator import StoredItems


class TaskSnapshot:
    """Encodes a task's state in slices."""

    def __init__(self, checkpoint_id: int, subtask: SubtaskId, chain: OperatorChain, parts: list[OperatorSnapshot]) -> None:
        self.checkpoint_id = checkpoint_id
        self._subtask = subtask
        self._chain = chain
        self._parts = parts
        self._watermarks = chain.watermarks()
        self._encoding = [part.tables for part in parts if part.tables is not None]

    def advance(self, until_s: float) -> bool:
        """Works until the monotonic time `until_s`, or a little longer. True when all is encoded."""
        while self._encoding:
            if not self._encoding[0].advance(until_s):
                return False
            del self._encoding[0]
        return True

    def abandon(self) -> None:
        """The checkpoint was given up, or is done: the tables are bare again."""
        for part in self._parts:
            if part.tables is not None:
                part.tables.abandon()

    def finish(self) -> StateToStore:
        """All that is to be stored. The tables are bare again."""
        operators = [
            _operator(described.uid, operator, part, watermark)
            for described, operator, part, watermark in zip(self._chain.described, self._chain.operators, self._parts, self._watermarks, strict=True)
        ]
        self.abandon()
        return StateToStore(self.checkpoint_id, self._subtask, operators)


class OperatorToStore(NamedTuple):
    """What one operator has to store."""

    state: OperatorState
    chunks: Sequence[StateChunk]
    lists: Mapping[str, StoredItems]
    lanes: Mapping[str, Sequence[tuple[int, bytes]]]


def _operator(uid: str, operator: object, part: OperatorSnapshot, watermark: int) -> OperatorToStore:
    state = OperatorState(
        uid=uid,
        watermark=None if watermark == MIN_TIMESTAMP else watermark,
        tables=operator.table_descriptions() if isinstance(operator, KeyedOperator) else {},
    )
    return OperatorToStore(state, [] if part.tables is None else list(part.tables.chunks()), part.lists, part.lanes)


class StateToStore:
    """A task's encoded state. Laying it out and writing it takes long and touches nothing of the task's: for an executor's thread.

    Args:
        checkpoint_id: the checkpoint.
        subtask: the task.
        operators: in the order of the chain.
    """

    def __init__(self, checkpoint_id: int, subtask: SubtaskId, operators: Sequence[OperatorToStore]) -> None:
        self.checkpoint_id = checkpoint_id
        self._subtask = subtask
        self._operators = operators

    def write(self, store: CheckpointStore) -> TaskState:
        """Stores it as one file, and none when there is nothing. What the checkpoint has to say of it."""
        state, parts = self.lay_out()
        if state.file is not None:
            store.write_file(self.checkpoint_id, state.file.name, passing_crash_point(parts))
        return state

    def lay_out(self) -> tuple[TaskState, list[bytes]]:
        """What the checkpoint has to say of it, and the content of the file."""
        file = StateFileWriter()
        operators = [self._lay_out(operator, file) for operator in self._operators]
        ref = file.file_ref(f"task-{self._subtask.vertex}-{self._subtask.subtask}")
        return TaskState(self._subtask.vertex, self._subtask.subtask, operators, ref), file.parts

    def _lay_out(self, operator: OperatorToStore, file: StateFileWriter) -> OperatorState:
        chunks = [ChunkRef(c.table, c.key_group, c.entries, file.add(c.data)) for c in operator.chunks]
        lists = {
            name: OperatorListRef(stored.mode, [file.add(item) for item in stored.items], description=stored.description)
            for name, stored in operator.lists.items()
            if stored.items
        }
        for name, entries in operator.lanes.items():
            if entries:
                lists[name] = OperatorListRef("lane", [file.add(item) for _, item in entries], [lane for lane, _ in entries])
        return msgspec.structs.replace(operator.state, chunks=chunks, lists=lists)


def passing_crash_point(parts: list[bytes]) -> Iterator[bytes]:
    """The parts, with the crash point of a half-written file in their middle."""
    for number, part in enumerate(parts):
        if number == len(parts) // 2:
            crash_point("task.snapshot.upload_mid")
        yield part
