"""What the plugin offers."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.contracts.guarantee import Guarantee
from millstream.plugins import PluginManager
from millstream_filesystem import FileSink, FileSource, FilesystemCheckpointStorage, plugin


@pytest.mark.parametrize(
    ("role", "name", "factory"),
    [("source", "file", FileSource), ("sink", "file", FileSink), ("checkpoint_storage", "filesystem", FilesystemCheckpointStorage)],
)
def test_what_it_offers_can_be_made(role: Any, name: str, factory: object) -> None:
    manager = PluginManager.with_plugins([plugin])
    assert manager.failures == ()
    entry = manager.find(role, name)
    assert entry.load() is factory
    assert entry.load_options() is factory


def test_what_it_declares_is_what_its_sink_and_source_promise(tmp_path: Any) -> None:
    manager = PluginManager.with_plugins([plugin])
    sink = manager.find("sink", "file").load_capabilities()
    assert sink == FileSink(tmp_path, delivery="exactly_once").capabilities
    assert sink.strongest() is Guarantee.EXACTLY_ONCE
    assert manager.find("source", "file").load_capabilities() == FileSource(tmp_path).capabilities
