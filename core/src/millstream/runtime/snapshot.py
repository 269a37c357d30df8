"""A task's part of a checkpoint between the barrier and the acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from collections.abc import Iterator

    from millstream.graph.execution_graph import SubtaskId
    from millstream.runtime.chain import OperatorChain
    from millstream.runtime.operators.base import OperatorSnapshot


class TaskSnapshot:
    """Encodes a task's state in slices, then lays it out in one file."""

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

    def finish(self) -> tuple[TaskState, list[bytes]]:
        """The description of the state, and the bytes of its file."""
        file = StateFileWriter()
        operators = [
            self._operator(described.uid, operator, part, watermark, file)
            for described, operator, part, watermark in zip(self._chain.described, self._chain.operators, self._parts, self._watermarks, strict=True)
        ]
        self.abandon()
        name = f"task-{self._subtask.vertex}-{self._subtask.subtask}"
        return TaskState(self._subtask.vertex, self._subtask.subtask, operators, file.file_ref(name)), file.parts

    def _operator(self, uid: str, operator: object, part: OperatorSnapshot, watermark: int, file: StateFileWriter) -> OperatorState:
        chunks = []
        if part.tables is not None:
            chunks = [ChunkRef(c.table, c.key_group, c.entries, file.add(c.data)) for c in part.tables.chunks()]
        lists = {
            name: OperatorListRef(stored.mode, [file.add(item) for item in stored.items], description=stored.description)
            for name, stored in part.lists.items()
            if stored.items
        }
        for name, entries in part.lanes.items():
            if entries:
                lists[name] = OperatorListRef("lane", [file.add(item) for _, item in entries], [lane for lane, _ in entries])
        return OperatorState(
            uid=uid,
            watermark=None if watermark == MIN_TIMESTAMP else watermark,
            tables=operator.table_descriptions() if isinstance(operator, KeyedOperator) else {},
            chunks=chunks,
            lists=lists,
        )


def passing_crash_point(parts: list[bytes]) -> Iterator[bytes]:
    """The parts, with the crash point of a half-written file in their middle."""
    for number, part in enumerate(parts):
        if number == len(parts) // 2:
            crash_point("task.snapshot.upload_mid")
        yield part
