"""State of a checkpoint as one operator of one subtask finds it when it opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from millstream.checkpoint.manifest import AheadRange, FileRef, blob
from millstream.contracts.state_backend import StateChunk
from millstream.state.operator import StoredItems

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.restore import FileBlob, FileChunk, OperatorRestore
    from millstream.state.keyed import StateDescription


@dataclass
class RestoredState:
    """Decoded references of one operator.

    Attributes:
        watermark: event time to start from, ms; None for the beginning.
        keyed: for each former subtask, the chunks of its tables and what they were written as.
        lists: what this subtask was given of operator states, in parts that were written alike.
        lanes: items of lane lists with their lane.
        lane_count: lanes used so far.
        ahead: key groups whose event time had come further than `watermark`.
        checkpoint_id: the checkpoint all this comes from; None on a fresh start.
    """

    watermark: int | None = None
    keyed: list[tuple[dict[str, list[StateChunk]], dict[str, StateDescription]]] = field(default_factory=list)
    lists: dict[str, list[StoredItems]] = field(default_factory=dict)
    lanes: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    lane_count: int = 0
    ahead: list[AheadRange] = field(default_factory=list)
    checkpoint_id: int | None = None


class StateReader:
    """Reads the state files of a checkpoint, each once.

    Args:
        read: gives a file's bytes, verified.
        where: what to call the checkpoint in errors.
    """

    def __init__(self, read: Callable[[FileRef], bytes], where: str) -> None:
        self._read = read
        self._where = where
        self._files: dict[str, bytes] = {}

    def _file(self, ref: FileRef) -> bytes:
        data = self._files.get(ref.name)
        if data is None:
            data = self._files[ref.name] = self._read(ref)
        return data

    def _blob(self, item: FileBlob) -> bytes:
        return blob(self._file(item.file), item.blob, self._where)

    def _chunks(self, chunks: list[FileChunk]) -> dict[str, list[StateChunk]]:
        tables: dict[str, list[StateChunk]] = {}
        for entry in chunks:
            ref = entry.chunk
            data = blob(self._file(entry.file), ref.blob, self._where)
            tables.setdefault(ref.table, []).append(StateChunk(ref.table, ref.key_group, ref.entries, data))
        return tables

    def _items(self, items: list[FileBlob]) -> list[StoredItems]:
        alike = groupby(items, key=lambda item: (item.description, item.mode))
        return [StoredItems(description, [self._blob(item) for item in part], mode) for (description, mode), part in alike]

    def load(self, part: OperatorRestore, checkpoint_id: int) -> RestoredState:
        """What one operator takes over."""
        return RestoredState(
            watermark=part.watermark,
            keyed=[(self._chunks(keyed.chunks), keyed.tables) for keyed in part.keyed],
            lists={name: self._items(items) for name, items in part.lists.items()},
            lanes={name: [(entry.lane, self._blob(entry.item)) for entry in items] for name, items in part.lanes.items()},
            lane_count=part.lane_count,
            ahead=part.ahead,
            checkpoint_id=checkpoint_id,
        )
