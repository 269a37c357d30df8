"""The file source and the file sink pass the suites of the test kit."""

from __future__ import annotations

from millstream_testkit import SinkSuite
from millstream_testkit.sinks import FileSinkHarness, PlainFileSinkHarness


class TestExactlyOnceFileSink(SinkSuite):
    harness = FileSinkHarness


class TestAtLeastOnceFileSink(SinkSuite):
    harness = PlainFileSinkHarness
