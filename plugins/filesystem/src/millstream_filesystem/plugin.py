"""What this plugin offers; see `millstream.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins import CheckpointStorageEntry, SinkEntry, SourceEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_sources() -> Iterator[SourceEntry]:
    yield SourceEntry(
        name="file",
        factory="millstream_filesystem.source:FileSource",
        description="Lines of files, of the files in a folder, or of those that will appear in it",
        options="millstream_filesystem.source:FileSource",
        capabilities="millstream_filesystem.source:CAPABILITIES",
        guarantees=("exactly_once",),
    )


@hookimpl
def millstream_sinks() -> Iterator[SinkEntry]:
    yield SinkEntry(
        name="file",
        factory="millstream_filesystem.sink:FileSink",
        description="A file of lines per subtask and checkpoint, visible when the checkpoint is complete",
        options="millstream_filesystem.sink:FileSink",
        capabilities="millstream_filesystem.exactly_once:CAPABILITIES",
        guarantees=("exactly_once", "at_least_once"),
    )


@hookimpl
def millstream_checkpoint_storages() -> Iterator[CheckpointStorageEntry]:
    yield CheckpointStorageEntry(
        name="filesystem",
        factory="millstream_filesystem.checkpoints:FilesystemCheckpointStorage",
        description="Checkpoints in a folder, durable when they are announced",
        options="millstream_filesystem.checkpoints:FilesystemCheckpointStorage",
    )
