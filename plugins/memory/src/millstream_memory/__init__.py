"""The `memory` plugin: working state on the heap, checkpoints in the memory of the job's process."""

from __future__ import annotations

from millstream_memory.checkpoint_storage import MemoryCheckpointStorage
from millstream_memory.state_backend import MemoryStateBackend

__all__ = ["MemoryCheckpointStorage", "MemoryStateBackend"]
