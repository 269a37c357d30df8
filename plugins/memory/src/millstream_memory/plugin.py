"""What this plugin offers; see `millstream.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins import CheckpointStorageEntry, StateBackendEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_state_backends() -> Iterator[StateBackendEntry]:
    yield StateBackendEntry(
        name="memory",
        factory="millstream_memory.state_backend:MemoryStateBackend",
        description="Working state as live objects on the heap of each worker",
        guarantees=("exactly_once",),
    )


@hookimpl
def millstream_checkpoint_storages() -> Iterator[CheckpointStorageEntry]:
    yield CheckpointStorageEntry(
        name="memory",
        factory="millstream_memory.checkpoint_storage:MemoryCheckpointStorage",
        description="Checkpoints in the job's own process, lost when it ends; at most 5 MB a file",
    )
