"""Sinks that promise exactly once and break it, each by one well-known mistake. The suites must catch them.

Guarantee: none; what they declare is a lie.

Needs: what `millstream_testkit.ledger` needs.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.two_phase_commit import Committed, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.ports import crash_point
from millstream_testkit.ledger import SqliteLedgerLanes, SqliteLedgerSink, connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import SinkContext

TABLE = "results"
COLUMNS = ("number", "key", "place")


def right(target: str) -> SqliteLedgerSink:
    """The sink that the wrong ones are made of."""
    return SqliteLedgerSink(Path(target), TABLE, COLUMNS)


def commits_at_prepare(target: str) -> CommitsAtPrepare:
    """Makes records visible at the barrier, before the checkpoint is complete."""
    return CommitsAtPrepare(Path(target))


def marker_apart(target: str) -> MarkerApart:
    """Writes the marker in a transaction of its own, behind that of the records."""
    return MarkerApart(Path(target), TABLE, COLUMNS)


def no_fence(target: str) -> NoFence:
    """Writes records and marker in one transaction, but does not look whether the lane is still its own."""
    return NoFence(Path(target), TABLE, COLUMNS)


def visible_rows(target: Path) -> list[tuple[int, int, int]]:
    """What a reader of the table finds; nothing when there is no table yet."""
    if not target.exists():
        return []
    connection = sqlite3.connect(f"file:{target}?mode=ro", uri=True, timeout=5)
    try:
        return connection.execute(f'SELECT number, "key", place FROM {TABLE}').fetchall()  # noqa: S608 - a constant
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        connection.close()


class MarkerApart(SqliteLedgerSink):
    """Two transactions for what must be one."""

    def open(self, context: SinkContext) -> SqliteLedgerLanes:
        return _MarkerApartLanes(self, context)


class _MarkerApartLanes(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._check_fence(lane)
            self._insert_rows(records)
        crash_point("sink.commit.applied_no_ack")
        with self._transaction():
            self._move_marker(lane, checkpoint_id, chunk)


class NoFence(SqliteLedgerSink):
    """Trusts that it is alone."""

    def open(self, context: SinkContext) -> SqliteLedgerLanes:
        return _NoFenceLanes(self, context)


class _NoFenceLanes(SqliteLedgerLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            self._insert_rows(records)
            self._move_marker(lane, checkpoint_id, chunk)
        crash_point("sink.commit.applied_no_ack")


@dataclass(frozen=True)
class CommitsAtPrepare(TwoPhaseCommitSink[Any]):
    """Has nothing left to do at the commit."""

    path: Path
    capabilities = SinkCapabilities(kind="two_phase_commit", fencing=True, visible_only_committed=True, prepared_survives_disconnect=True)

    def open(self, context: SinkContext) -> TwoPhaseCommitWriter[Any]:
        return _CommitsAtPrepareWriter(self.path)


class _CommitsAtPrepareWriter(TwoPhaseCommitWriter[Any]):
    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(COLUMNS)})")
        self._open: list[Any] = []

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        self._open += values
        crash_point("sink.write.mid_epoch")

    def prepare(self, checkpoint_id: int) -> bytes | None:
        records, self._open = self._open, []
        if not records:
            return None
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?, ?)", records)  # noqa: S608 - a constant
        self._connection.execute("COMMIT")
        return b"nothing to find"

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        return Committed()

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        """There is nothing that could be undone."""

    def close(self) -> None:
        self._connection.close()
