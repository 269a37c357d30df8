from __future__ import annotations

from millstream_memory import MemoryCheckpointStorage, MemoryStateBackend, plugin


def test_the_plugin_offers_the_state_backend_and_the_checkpoint_storage_as_memory():
    (backend,) = plugin.millstream_state_backends()
    (storage,) = plugin.millstream_checkpoint_storages()
    assert (backend.label, backend.load()()) == ("state backend 'memory'", MemoryStateBackend())
    assert (storage.label, storage.load()()) == ("checkpoint storage 'memory'", MemoryCheckpointStorage())
