"""Which chunks of a task's keyed state are stored already, so that a checkpoint stores only those that changed.

A chunk is known by the checksum of its bytes. A snapshot may refer to what the newest completed checkpoint holds and every snapshot taken
since refers to, too: whichever of those is completed before the snapshot is, the file is still there. While it is not known what one of
them refers to, because it is not stored yet, the next one refers to nothing. What an aborted checkpoint stored is never used. An attempt
begins without any knowledge: its first checkpoint is a full one. Savepoints have no part in this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.checkpoint.manifest import BlobRef, FileRef

ChunkKey: TypeAlias = tuple[str, str, int]
"""Uid of the operator, name of the table, key group."""


class StoredChunk(NamedTuple):
    """Where a chunk is.

    Attributes:
        digest: SHA-256 of its bytes.
        file: the shared file that holds it.
        blob: its place there.
    """

    digest: bytes
    file: FileRef
    blob: BlobRef


Chunks: TypeAlias = "Mapping[ChunkKey, StoredChunk]"


class StoredChunks:
    """What one attempt of a task knows to be stored."""

    def __init__(self) -> None:
        self._completed_id = 0
        self._completed: Chunks = {}  # of the newest completed checkpoint that the task was told of
        self._since: dict[int, Chunks | None] = {}  # of the snapshots taken since; None while it is not stored

    def reusable(self) -> dict[ChunkKey, StoredChunk]:
        """What the next snapshot may refer to. To be asked before it is `begun`."""
        known = [chunks for chunks in self._since.values() if chunks is not None]
        if len(known) < len(self._since):
            return {}
        return {key: chunk for key, chunk in self._completed.items() if all(chunks.get(key) == chunk for chunks in known)}

    def begun(self, checkpoint_id: int) -> None:
        """The snapshot of a checkpoint is on its way to the store."""
        if checkpoint_id > self._completed_id:
            self._since[checkpoint_id] = None

    def stored(self, checkpoint_id: int, chunks: Chunks) -> None:
        """All chunks of a snapshot that has been stored."""
        if checkpoint_id in self._since:
            self._since[checkpoint_id] = chunks

    def given_up(self, checkpoint_id: int) -> None:
        """The checkpoint will never be completed."""
        self._since.pop(checkpoint_id, None)

    def completed(self, checkpoint_id: int) -> None:
        """The checkpoint is durable."""
        if checkpoint_id > self._completed_id:
            self._completed, self._completed_id = self._since.get(checkpoint_id) or {}, checkpoint_id
            self._since = {number: chunks for number, chunks in self._since.items() if number > checkpoint_id}
