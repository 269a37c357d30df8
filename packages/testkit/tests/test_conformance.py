"""The reference sinks of the kit pass its suites."""

from __future__ import annotations

from millstream_testkit import SinkSuite
from millstream_testkit.sinks import ChunkedLedgerHarness, LedgerHarness, StagedHarness
from millstream_testkit.suites.sink_contract import CommittingSinkContract, SinkContract
from millstream_testkit.suites.two_phase_contract import TwoPhaseCommitContract
from millstream_testkit.suites.write_ahead_contract import WriteAheadContract


class TestLedger(SinkSuite):
    harness = LedgerHarness


class TestChunkedLedger(SinkContract, CommittingSinkContract, WriteAheadContract):
    harness = ChunkedLedgerHarness


class TestStaged(SinkContract, CommittingSinkContract, TwoPhaseCommitContract):
    harness = StagedHarness
