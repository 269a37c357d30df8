"""The reference sinks of the kit pass its suites."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream_testkit import Row, SinkSuite
from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.ledger import connect
from millstream_testkit.sinks import COLUMNS, TABLE, ChunkedLedgerHarness, LedgerHarness, StagedHarness
from millstream_testkit.suites.sink_contract import CommittingSinkContract, SinkContract
from millstream_testkit.suites.sink_reader import SinkReader
from millstream_testkit.suites.two_phase_contract import TwoPhaseCommitContract
from millstream_testkit.suites.write_ahead_contract import WriteAheadContract


class TestLedger(SinkSuite):
    harness = LedgerHarness


class TestChunkedLedger(SinkContract, CommittingSinkContract, WriteAheadContract):
    harness = ChunkedLedgerHarness


class TestStaged(SinkContract, CommittingSinkContract, TwoPhaseCommitContract):
    harness = StagedHarness


class UpsertWriter(SinkWriter[Row]):
    def __init__(self, path: str) -> None:
        self._connection: sqlite3.Connection = connect(path)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(COLUMNS)}, PRIMARY KEY (number))")

    def write(self, values: Sequence[Row], timestamps: Sequence[int] | None) -> None:
        self._connection.executemany(f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?, ?)", values)

    def flush(self) -> None:
        """All is written."""

    def close(self) -> None:
        self._connection.close()


class UpsertSink(Sink[Row]):
    """The id of what is written is the record's number, so that writing again changes nothing."""

    capabilities = SinkCapabilities(kind="idempotent")

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self, context: SinkContext) -> UpsertWriter:
        return UpsertWriter(self.path)


class UpsertHarness(LedgerHarness):
    name = "upsert"
    oversized_records = 2_000

    def sink(self, target: str) -> UpsertSink:  # type: ignore[override]
        return UpsertSink(target)


class TestUpsert(SinkReader, SinkContract):
    harness = UpsertHarness


@pytest.mark.faults
@pytest.mark.timeout(150)
@pytest.mark.parametrize("crash", [Crash("checkpoint.metadata.before_rename", 2), Crash("sink.write.mid_epoch", 5)], ids=str)
def test_an_idempotent_sink_comes_to_the_right_state_in_spite_of_a_kill(crash: Crash, tmp_path: Path) -> None:
    result = CrashRunner(UpsertHarness(), tmp_path).run(CrashCase((crash,)))
    assert result.outcome is Outcome.EXACT, str(result)
