"""The conformance suite of sinks: plain, idempotent, write-ahead and two-phase commit."""

from __future__ import annotations

from millstream_testkit.suites.sink_contract import CommittingSinkContract, SinkContract
from millstream_testkit.suites.sink_crashes import SinkCrashes, SinkRewinds
from millstream_testkit.suites.sink_reader import SinkReader
from millstream_testkit.suites.two_phase_contract import TwoPhaseCommitContract
from millstream_testkit.suites.write_ahead_contract import WriteAheadContract


class SinkSuite(
    SinkReader,
    SinkContract,
    CommittingSinkContract,
    TwoPhaseCommitContract,
    WriteAheadContract,
    SinkCrashes,
    SinkRewinds,
):
    """Everything that is demanded of a sink. Which demands apply follows from what the sink declares.

    Example:
        class TestMySink(SinkSuite):
            harness = MySinkHarness
    """

    complete = True
