"""The memory state backend and the memory checkpoint storage pass the suites of the test kit."""

from __future__ import annotations

from pathlib import Path

from millstream_memory import MemoryCheckpointStorage, MemoryStateBackend
from millstream_testkit import (
    CheckpointStorageHarness,
    CheckpointStorageSuite,
    StateBackendDeclaration,
    StateBackendHarness,
    StateBackendSuite,
)


class MemoryBackendHarness(StateBackendHarness):
    name = "MemoryStateBackend"
    declares = StateBackendDeclaration(sliced=True, incremental=True)

    def backend(self, folder: Path) -> MemoryStateBackend:
        return MemoryStateBackend()


class MemoryStorageHarness(CheckpointStorageHarness):
    name = "MemoryCheckpointStorage"

    def storage(self, location: str) -> MemoryCheckpointStorage:
        return MemoryCheckpointStorage(name=location)


class TestMemoryStateBackend(StateBackendSuite):
    harness = MemoryBackendHarness


class TestMemoryCheckpointStorage(CheckpointStorageSuite):
    harness = MemoryStorageHarness
