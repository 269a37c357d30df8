"""Which chunks of a task's keyed state are stored already, so that a checkpoint stores only those that changed.

A chunk is known by the checksum of its bytes. It may be referred to again when the checkpoint that stored it has been completed, and
every snapshot since referred to it: then whatever checkpoint is the newest completed one refers to it, too, and keeps it from being
deleted. What an aborted checkpoint stored is never used. An attempt begins without any knowledge: its first checkpoint is a full one.
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
        checkpoint_id: the checkpoint that stored it.
    """

    digest: bytes
    file: FileRef
    blob: BlobRef
    checkpoint_id: int


class StoredChunks:
    """What one attempt of a task knows to be stored."""

    def __init__(self) -> None:
        self._newest: Mapping[ChunkKey, StoredChunk] = {}
        self._newest_id = 0
        self._completed: set[int] = set()

    def reusable(self) -> dict[ChunkKey, StoredChunk]:
        """What the next snapshot may refer to."""
        return {key: chunk for key, chunk in self._newest.items() if chunk.checkpoint_id in self._completed}

    def stored(self, checkpoint_id: int, chunks: Mapping[ChunkKey, StoredChunk]) -> None:
        """All chunks of a snapshot that has been stored, in place of those of the one before.

        A slow one, given up before a later one was taken, counts no more: the later one need not refer to what it refers to.
        """
        if checkpoint_id > self._newest_id:
            self._newest, self._newest_id = chunks, checkpoint_id

    def completed(self, checkpoint_id: int) -> None:
        """The checkpoint is durable."""
        in_use = {chunk.checkpoint_id for chunk in self._newest.values()}
        self._completed = {number for number in self._completed if number in in_use} | {checkpoint_id}
