"""A task's encoded state on its way into the files of a checkpoint."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from millstream.checkpoint.manifest import ChunkRef, FileRef, OperatorListRef, OperatorState, StateFileWriter, TaskState
from millstream.ports import crash_point
from millstream.runtime.stored_chunks import ChunkKey, StoredChunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.contracts.state_backend import StateChunk
    from millstream.graph.execution_graph import SubtaskId
    from millstream.state.operator import StoredItems


class OperatorToStore(NamedTuple):
    """What one operator has to store; `state` says the rest."""

    state: OperatorState
    chunks: Sequence[StateChunk]
    lists: Mapping[str, StoredItems]
    lanes: Mapping[str, Sequence[tuple[int, bytes]]]


class Stored(NamedTuple):
    """A task's state as it has been stored.

    Attributes:
        state: what the checkpoint has to say of it.
        chunks: where its chunks are, for the next checkpoint; none when this one was stored whole.
    """

    state: TaskState
    chunks: Mapping[ChunkKey, StoredChunk]


class StateToStore:
    """Laying it out and writing it takes long and touches nothing of the task's: for an executor's thread.

    Args:
        checkpoint_id: the checkpoint.
        subtask: the task.
        attempt: of the task.
        operators: in the order of the chain.
        reusable: chunks that are stored and may be referred to; None to store everything in a file of this checkpoint alone.
    """

    def __init__(
        self,
        checkpoint_id: int,
        subtask: SubtaskId,
        attempt: int,
        operators: Sequence[OperatorToStore],
        reusable: Mapping[ChunkKey, StoredChunk] | None = None,
    ) -> None:
        self._checkpoint_id = checkpoint_id
        self._subtask = subtask
        self._attempt = attempt
        self._operators = operators
        self._is_incremental = reusable is not None
        self._reusable = reusable or {}
        self._file = StateFileWriter()
        self._chunks: dict[ChunkKey, tuple[bytes, ChunkRef]] = {}

    def write(self, *stores: CheckpointStore) -> Stored:
        """Stores what is not stored yet as one file, the same in each store, and none when that is nothing."""
        state, parts = self.lay_out()
        file = state.file
        for store in stores:
            if file is not None and file.shared:
                store.write_shared(self._checkpoint_id, file.name, passing_crash_point(parts))
            elif file is not None:
                store.write_file(self._checkpoint_id, file.name, passing_crash_point(parts))
        return Stored(state, self._stored(file))

    def lay_out(self) -> tuple[TaskState, list[bytes]]:
        """What the checkpoint has to say of it, and the content of the file."""
        digests = self._digests() if self._is_incremental else {}
        unchanged = self._unchanged(digests)
        operators = [self._lay_out(operator, digests, unchanged) for operator in self._operators]
        earlier = {chunk.file.name: chunk.file for chunk in unchanged.values()}
        vertex, subtask = self._subtask.vertex, self._subtask.subtask
        # With the attempt: who was replaced and does not know it yet may take a checkpoint of the same number.
        name = f"{vertex}-{subtask}-{self._attempt}"
        holds_chunks = any(not ref.file for _, ref in self._chunks.values())
        ref = self._file.shared_ref(f"{self._checkpoint_id}-{name}") if holds_chunks else self._file.file_ref(f"task-{name}")
        return TaskState(vertex, subtask, operators, ref, sorted(earlier.values(), key=lambda file: file.name)), self._file.parts

    def _digests(self) -> dict[ChunkKey, bytes]:
        chunks = [((operator.state.uid, chunk.table, chunk.key_group), chunk) for operator in self._operators for chunk in operator.chunks]
        digests = {key: hashlib.sha256(chunk.data).digest() for key, chunk in chunks}
        return digests if len(digests) == len(chunks) else {}  # a backend that makes several chunks of a key group has all of them stored

    def _unchanged(self, digests: Mapping[ChunkKey, bytes]) -> dict[ChunkKey, StoredChunk]:
        """The chunks to refer to. A file of which they are less than half is let go, or old files would pile up for the sake of few chunks."""
        known = self._reusable
        same = {key: known[key] for key, digest in digests.items() if key in known and known[key].digest == digest}
        used: Counter[FileRef] = Counter()
        for chunk in same.values():
            used[chunk.file] += chunk.blob.length
        return {key: chunk for key, chunk in same.items() if 2 * used[chunk.file] >= chunk.file.length}

    def _lay_out(self, operator: OperatorToStore, digests: Mapping[ChunkKey, bytes], unchanged: Mapping[ChunkKey, StoredChunk]) -> OperatorState:
        chunks = []
        for chunk in operator.chunks:
            key = (operator.state.uid, chunk.table, chunk.key_group)
            found = unchanged.get(key)
            blob, file = (self._file.add(chunk.data), "") if found is None else (found.blob, found.file.name)
            chunks.append(ChunkRef(chunk.table, chunk.key_group, chunk.entries, blob, file))
            if key in digests:
                self._chunks[key] = digests[key], chunks[-1]
        lists = {
            name: OperatorListRef(stored.mode, [self._file.add(item) for item in stored.items], description=stored.description)
            for name, stored in operator.lists.items()
            if stored.items
        }
        for name, entries in operator.lanes.items():
            if entries:
                lists[name] = OperatorListRef("lane", [self._file.add(item) for _, item in entries], [lane for lane, _ in entries])
        return msgspec.structs.replace(operator.state, chunks=chunks, lists=lists)

    def _stored(self, file: FileRef | None) -> dict[ChunkKey, StoredChunk]:
        stored = {}
        for key, (digest, ref) in self._chunks.items():
            if ref.file:
                stored[key] = self._reusable[key]
            elif file is not None:
                stored[key] = StoredChunk(digest, file, ref.blob)
        return stored


def passing_crash_point(parts: list[bytes]) -> Iterator[bytes]:
    """The parts, with the crash point of a half-written file in their middle."""
    for number, part in enumerate(parts):
        if number == len(parts) // 2:
            crash_point("task.snapshot.upload_mid")
        yield part
