"""The file source, the file sink and the filesystem checkpoint storage pass the suites of the test kit."""

from __future__ import annotations

from pathlib import Path

from millstream_filesystem import FilesystemCheckpointStorage
from millstream_filesystem.job_folder import folder_of_job
from millstream_testkit import CheckpointStorageHarness, CheckpointStorageSuite, SinkSuite, SourceSuite
from millstream_testkit.sinks import FileSinkHarness, PlainFileSinkHarness
from millstream_testkit.sources import FileSourceHarness, WatchedFolderHarness


class FilesystemStorageHarness(CheckpointStorageHarness):
    name = "FilesystemCheckpointStorage"
    storage_port = True

    def storage(self, location: str) -> FilesystemCheckpointStorage:
        return FilesystemCheckpointStorage(location)

    def damage(self, location: str, job_name: str, checkpoint_id: int, name: str | None, change: str) -> bool:
        path = Path(location, folder_of_job(job_name), f"chk-{checkpoint_id}", name or "_metadata")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()
        if change != "lose":
            path.write_bytes(data if change == "flip" else data[: len(data) // 2])
        return True


class TestFileSource(SourceSuite):
    harness = FileSourceHarness


class TestWatchedFolder(SourceSuite):
    harness = WatchedFolderHarness


class TestExactlyOnceFileSink(SinkSuite):
    harness = FileSinkHarness


class TestAtLeastOnceFileSink(SinkSuite):
    harness = PlainFileSinkHarness


class TestFilesystemCheckpointStorage(CheckpointStorageSuite):
    harness = FilesystemStorageHarness
