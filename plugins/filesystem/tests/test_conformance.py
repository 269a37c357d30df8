"""The file source and the file sink pass the suites of the test kit."""

from __future__ import annotations

from millstream_testkit import SinkSuite, SourceSuite
from millstream_testkit.sinks import FileSinkHarness, PlainFileSinkHarness
from millstream_testkit.sources import FileSourceHarness, WatchedFolderHarness


class TestFileSource(SourceSuite):
    harness = FileSourceHarness


class TestWatchedFolder(SourceSuite):
    harness = WatchedFolderHarness


class TestExactlyOnceFileSink(SinkSuite):
    harness = FileSinkHarness


class TestAtLeastOnceFileSink(SinkSuite):
    harness = PlainFileSinkHarness
