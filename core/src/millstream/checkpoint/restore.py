"""Which piece of a checkpoint goes to which subtask.

Only references are dealt out here; each subtask reads and verifies the files it was given pieces of. Keyed state goes by key group,
operator lists by their mode, and event time restarts at the minimum over the key-group ranges a subtask takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec

from millstream.checkpoint.manifest import AheadRange, BlobRef, ChunkRef, FileRef, Manifest, OperatorState, TaskState
from millstream.contracts.key_groups import key_group_range
from millstream.contracts.serializer import SerializerDescription
from millstream.errors import DamagedCheckpoint
from millstream.state.keyed import StateDescription
from millstream.state.operator import ListMode
from millstream.state.redistribution import broadcast_state, split_list_states, union_list_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.graph.job_graph import ChainedOperator


class FileBlob(msgspec.Struct, frozen=True):
    """A blob, the file that holds it, how it was written, and how it was dealt out."""

    file: FileRef
    blob: BlobRef
    description: SerializerDescription | None = None
    mode: ListMode = "split"


class FileChunk(msgspec.Struct, frozen=True):
    """A chunk of a keyed table and the file that holds it."""

    file: FileRef
    chunk: ChunkRef


class LaneBlob(msgspec.Struct, frozen=True):
    """An item of a lane list."""

    lane: int
    item: FileBlob


class KeyedPart(msgspec.Struct, frozen=True):
    """The part of one former subtask's keyed state that a subtask takes over."""

    tables: dict[str, StateDescription]
    chunks: list[FileChunk]


class OperatorRestore(msgspec.Struct, frozen=True):
    """What one subtask of one operator takes over.

    Attributes:
        watermark: event time to start from; None for the beginning.
        keyed: keyed state, by former subtask.
        lists: items per list state.
        lanes: items per lane list.
        lane_count: lanes used so far, over all former subtasks.
        ahead: key groups whose event time had come further than `watermark`.
    """

    watermark: int | None = None
    keyed: list[KeyedPart] = []
    lists: dict[str, list[FileBlob]] = {}
    lanes: dict[str, list[LaneBlob]] = {}
    lane_count: int = 0
    ahead: list[AheadRange] = []


class RestorePlan:
    """Deals a checkpoint out over a job that it fits.

    Args:
        manifest: the checkpoint.
        where: what to call the checkpoint in errors.
    """

    def __init__(self, manifest: Manifest, where: str) -> None:
        self.manifest = manifest
        self._where = where
        self._parts: dict[str, dict[int, tuple[TaskState, OperatorState]]] = {}
        for task in manifest.tasks:
            for state in task.operators:
                self._parts.setdefault(state.uid, {})[task.subtask] = (task, state)

    def for_operator(self, operator: ChainedOperator, subtask: int, parallelism: int) -> OperatorRestore:
        """What one subtask takes over."""
        parts = self._parts.get(operator.uid)
        if not parts:
            return OperatorRestore()
        groups = key_group_range(subtask, parallelism, operator.max_parallelism)
        old_parallelism = max(parts) + 1
        keyed: list[KeyedPart] = []
        ahead: list[AheadRange] = []
        # Splits go to subtasks in another way than key groups do, and records by no way that is known: it may be anybody's.
        by_range = parallelism == old_parallelism or any(state.tables or state.chunks for _, state in parts.values())
        watermarks: list[int | None] = [] if by_range else [state.watermark for _, state in parts.values()]
        for index, (task, state) in sorted(parts.items()):
            former = key_group_range(index, old_parallelism, operator.max_parallelism)
            if former.start < groups.stop and groups.start < former.stop:
                watermarks.append(state.watermark)
                ahead += _within(groups, state, former)
                chunks = [FileChunk(self._file_of(task, chunk), chunk) for chunk in state.chunks if chunk.key_group in groups]
                keyed.append(KeyedPart(state.tables, chunks))
        known = [w for w in watermarks if w is not None]
        watermark = min(known) if known and len(known) == len(watermarks) else None
        return OperatorRestore(
            watermark=watermark,
            keyed=keyed,
            lists=self._lists(parts, subtask, parallelism, old_parallelism),
            lanes=self._lanes(parts, subtask, parallelism),
            lane_count=old_parallelism,
            ahead=[each for each in ahead if watermark is None or each.watermark > watermark],
        )

    def _file_of(self, task: TaskState, chunk: ChunkRef) -> FileRef:
        file = task.file_of(chunk)
        if file is None:
            raise DamagedCheckpoint(where=self._where, what=f"a chunk of state {chunk.table!r} is in file {chunk.file!r}, of which it says nothing")
        return file

    def _lists(
        self, parts: dict[int, tuple[TaskState, OperatorState]], subtask: int, parallelism: int, old_parallelism: int
    ) -> dict[str, list[FileBlob]]:
        by_mode: dict[str, list[dict[str, list[FileBlob]]]] = {mode: [{} for _ in range(old_parallelism)] for mode in get_args(ListMode)}
        for index, (task, state) in parts.items():
            for name, ref in state.lists.items():
                if ref.mode != "lane" and task.file is not None:
                    by_mode[ref.mode][index][name] = [FileBlob(task.file, item, ref.description, ref.mode) for item in ref.items]
        result = split_list_states(by_mode["split"], parallelism)[subtask]
        for mode, deal in (("union", union_list_state), ("broadcast", broadcast_state)):
            for name in sorted({name for states in by_mode[mode] for name in states}):
                copies = [states[name] for states in by_mode[mode] if name in states]
                result.setdefault(name, []).extend(deal(copies, parallelism)[subtask])
        return result

    def _lanes(self, parts: dict[int, tuple[TaskState, OperatorState]], subtask: int, parallelism: int) -> dict[str, list[LaneBlob]]:
        result: dict[str, list[LaneBlob]] = {}
        for task, state in parts.values():
            for name, ref in state.lists.items():
                if ref.mode == "lane" and task.file is not None:
                    mine = [
                        LaneBlob(lane, FileBlob(task.file, item))
                        for lane, item in zip(ref.lanes, ref.items, strict=True)
                        if lane % parallelism == subtask
                    ]
                    result.setdefault(name, []).extend(mine)
        return result


def _within(groups: range, state: OperatorState, former: range) -> Iterator[AheadRange]:
    """Event time of those of a former subtask's key groups that are among `groups`."""
    own = [AheadRange(former.start, former.stop, state.watermark)] if state.watermark is not None else []
    for each in [*own, *state.ahead]:
        start, stop = max(each.start, groups.start), min(each.stop, groups.stop)
        if start < stop:
            yield AheadRange(start, stop, each.watermark)
