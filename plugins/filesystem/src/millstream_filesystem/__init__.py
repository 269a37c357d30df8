"""The `filesystem` plugin: durable checkpoints in a directory, files as a source and as a sink."""

from __future__ import annotations

from millstream_filesystem.checkpoints import FilesystemCheckpointStorage
from millstream_filesystem.sink import FileSink
from millstream_filesystem.source import FileSource

__all__ = ["FileSink", "FileSource", "FilesystemCheckpointStorage"]
