"""What plugin authors write against: the `@hookimpl` marker, the entries to yield, and the notices to listen for.

Example of a plugin, the module that a distribution names under the entry-point group `millstream`:

    from millstream.plugins import SinkEntry, hookimpl

    @hookimpl
    def millstream_sinks():
        yield SinkEntry(name="queue", factory="queue_for_millstream.sink:QueueSink", description="Appends to a queue")
"""

from __future__ import annotations

from millstream.plugins.compat import CONTRACT, OLDEST_CONTRACT
from millstream.plugins.entries import (
    ROLES,
    CheckpointStorageEntry,
    CliCommandEntry,
    ClusterBackendEntry,
    Entry,
    FormatEntry,
    MetricsReporterEntry,
    SinkEntry,
    SourceEntry,
    StateBackendEntry,
)
from millstream.plugins.failure import PluginFailure
from millstream.plugins.loader import LoadedPlugin
from millstream.plugins.lookup import KNOWN_DISTS
from millstream.plugins.manager import PluginManager, Role, default_manager
from millstream.plugins.notices import CheckpointCompleted, JobFailed, JobStarted
from millstream.plugins.specs import hookimpl

__all__ = [
    "CONTRACT",
    "KNOWN_DISTS",
    "OLDEST_CONTRACT",
    "ROLES",
    "CheckpointCompleted",
    "CheckpointStorageEntry",
    "CliCommandEntry",
    "ClusterBackendEntry",
    "Entry",
    "FormatEntry",
    "JobFailed",
    "JobStarted",
    "LoadedPlugin",
    "MetricsReporterEntry",
    "PluginFailure",
    "PluginManager",
    "Role",
    "SinkEntry",
    "SourceEntry",
    "StateBackendEntry",
    "default_manager",
    "hookimpl",
]
