"""Which checkpoint storage a setting or a path means."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from millstream.contracts.checkpoint_storage import CheckpointStorage
    from millstream.plugins import PluginManager


def find_checkpoint_storage(plugins: PluginManager, location: str) -> CheckpointStorage:
    """The storage of a setting: `memory`, or a folder or URL for the plugin `filesystem`."""
    if location == "memory":
        return cast("CheckpointStorage", plugins.find("checkpoint_storage", "memory").load()())
    scheme, separator, _ = location.partition("://")
    name = "filesystem" if not separator or scheme == "file" else scheme
    where = location.removeprefix("file://") if name == "filesystem" else location
    return cast("CheckpointStorage", plugins.find("checkpoint_storage", name).load()(where))
