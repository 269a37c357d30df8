"""The memory state backend with each of the checkpoint storages that come with Millstream: both pairings pass the suite of the test kit."""

from __future__ import annotations

from pathlib import Path

from millstream_filesystem import FilesystemCheckpointStorage
from millstream_memory import MemoryCheckpointStorage, MemoryStateBackend
from millstream_testkit import CheckpointStorageHarness, PairingHarness, PairingSuite, StateBackendHarness


class MemoryBackendHarness(StateBackendHarness):
    name = "MemoryStateBackend"

    def backend(self, folder: Path) -> MemoryStateBackend:
        return MemoryStateBackend()


class MemoryStorageHarness(CheckpointStorageHarness):
    name = "MemoryCheckpointStorage"

    def storage(self, location: str) -> MemoryCheckpointStorage:
        return MemoryCheckpointStorage(name=location)


class FilesystemStorageHarness(CheckpointStorageHarness):
    name = "FilesystemCheckpointStorage"
    storage_port = True

    def storage(self, location: str) -> FilesystemCheckpointStorage:
        return FilesystemCheckpointStorage(location)


class MemoryWithMemoryHarness(PairingHarness):
    name = "MemoryStateBackend with MemoryCheckpointStorage"
    state_backend = MemoryBackendHarness
    checkpoint_storage = MemoryStorageHarness


class MemoryWithFilesHarness(PairingHarness):
    name = "MemoryStateBackend with FilesystemCheckpointStorage"
    state_backend = MemoryBackendHarness
    checkpoint_storage = FilesystemStorageHarness


class TestMemoryWithMemory(PairingSuite):
    harness = MemoryWithMemoryHarness


class TestMemoryWithFiles(PairingSuite):
    harness = MemoryWithFilesHarness
