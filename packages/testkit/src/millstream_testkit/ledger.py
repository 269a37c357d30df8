"""Write-ahead sink that inserts records into a table of a SQLite database: the reference of the contract.

Guarantee: exactly once. Records wait in the checkpoint until it completes. One local transaction then inserts them and moves the
lane's row in the ledger, so a commit repeated after a crash finds the row already moved.

Needs: a database file on a local disk that every attempt of the job can reach, and a table with the named columns (made if missing).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import Fenced, InvalidArgument
from millstream.ports import crash_point

if TYPE_CHECKING:
    from pathlib import Path

    from millstream.contracts.sink import SinkContext

LEDGER_TABLE: Final = "millstream_ledger"
BUSY_TIMEOUT_S: Final = 10.0
"""How long a locked database is tried again before the job fails."""

_CREATE_LEDGER: Final = f"""
CREATE TABLE IF NOT EXISTS {LEDGER_TABLE} (
    run TEXT NOT NULL, sink TEXT NOT NULL, lane INTEGER NOT NULL,
    checkpoint_id INTEGER, chunk INTEGER, fence INTEGER NOT NULL,
    PRIMARY KEY (run, sink, lane)
)"""
_LANE: Final = "run = ? AND sink = ? AND lane = ?"
_FENCE: Final = f"""
INSERT INTO {LEDGER_TABLE} (run, sink, lane, fence) VALUES (?, ?, ?, 1)
ON CONFLICT (run, sink, lane) DO UPDATE SET fence = fence + 1"""  # noqa: S608 - the table's name is a constant
_READ: Final = f"SELECT fence, checkpoint_id, chunk FROM {LEDGER_TABLE} WHERE {_LANE}"  # noqa: S608 - as above
_MOVE: Final = f"UPDATE {LEDGER_TABLE} SET checkpoint_id = ?, chunk = ? WHERE {_LANE}"  # noqa: S608 - as above


@dataclass(frozen=True)
class SqliteLedgerSink(WriteAheadSink[Sequence[Any]]):
    """Inserts each record as one row, in checkpoint order.

    Args:
        path: the database file; made if it is missing.
        table: its name.
        columns: their names. A record is a sequence with a value for each: None, int, float, str or bytes.
        max_commit_records: rows per transaction; None for a whole epoch in one.
    """

    path: str | Path
    table: str
    columns: Sequence[str]
    max_commit_records: int | None = None
    capabilities: SinkCapabilities = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.columns:
            raise InvalidArgument(what="SqliteLedgerSink(columns=...)", value="empty", allowed="the name of at least one column")
        capabilities = SinkCapabilities(
            kind="write_ahead", atomic_marker=True, fencing=True, visible_only_committed=True, max_commit_records=self.max_commit_records
        )
        object.__setattr__(self, "capabilities", capabilities)

    def check(self, records: Sequence[Sequence[Any]]) -> None:
        for record in records:
            if isinstance(record, str) or len(record) != len(self.columns):
                msg = f"a row of table {self.table!r} is a sequence of {len(self.columns)} values"
                raise ValueError(msg)
            for column, value in zip(self.columns, record):
                if not isinstance(value, (int, float, str, bytes, type(None))) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
                    msg = f"column {column!r} cannot hold {value!r}: SQLite has None, int of 64 bits, float, str and bytes"
                    raise TypeError(msg)

    def open(self, context: SinkContext) -> SqliteLedgerLanes:
        return SqliteLedgerLanes(self, context)


class SqliteLedgerLanes(WriteAheadLanes[Sequence[Any]]):
    """The ledger as one subtask sees it."""

    def __init__(self, sink: SqliteLedgerSink, context: SinkContext) -> None:
        self._run_id = context.run_id
        self._sink_uid = context.sink_uid
        self._attempt = context.attempt
        self._fences: dict[int, int] = {}
        columns = ", ".join(map(quoted, sink.columns))
        places = ", ".join("?" for _ in sink.columns)
        self._insert = f"INSERT INTO {quoted(sink.table)} ({columns}) VALUES ({places})"  # noqa: S608 - names are quoted
        self._connection = connect(sink.path)
        try:
            with self._transaction():
                self._connection.execute(_CREATE_LEDGER)
                self._connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(sink.table)} ({columns})")
        except BaseException:
            self._connection.close()
            raise

    def fence(self, lane: int) -> None:
        with self._transaction():
            self._connection.execute(_FENCE, self._key(lane))
            self._fences[lane] = self._row(lane)[0]

    def read_marker(self, lane: int) -> Marker | None:
        return self._row(lane)[1]

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Sequence[Any]]) -> None:
        with self._transaction():
            marker = self._check_fence(lane)
            if marker is not None and marker >= Marker(checkpoint_id, chunk):
                return
            self._insert_rows(records)
            self._move_marker(lane, checkpoint_id, chunk)
        crash_point("sink.commit.applied_no_ack")

    def close(self) -> None:
        self._connection.close()

    def _check_fence(self, lane: int) -> Marker | None:
        """The marker, read inside the transaction that writes: a stalled predecessor that wakes up now must insert nothing."""
        fence, marker = self._row(lane)
        if fence != self._fences[lane]:
            raise Fenced(sink_uid=self._sink_uid, lane=lane, attempt=self._attempt)
        return marker

    def _insert_rows(self, records: Sequence[Sequence[Any]]) -> None:
        half = len(records) // 2
        self._connection.executemany(self._insert, records[:half])
        crash_point("sink.commit.mid")
        self._connection.executemany(self._insert, records[half:])

    def _move_marker(self, lane: int, checkpoint_id: int, chunk: int) -> None:
        self._connection.execute(_MOVE, (checkpoint_id, chunk, *self._key(lane)))

    def _key(self, lane: int) -> tuple[str, str, int]:
        return self._run_id, self._sink_uid, lane

    def _row(self, lane: int) -> tuple[int, Marker | None]:
        """Fence and marker of a lane; fence 0 when the lane has no row."""
        row = self._connection.execute(_READ, self._key(lane)).fetchone()
        if row is None:
            return 0, None
        fence, checkpoint_id, chunk = row
        return fence, None if checkpoint_id is None else Marker(checkpoint_id, chunk)

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self._connection)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that has the write lock from its start; rolled back when anything goes wrong."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def connect(path: str | Path) -> sqlite3.Connection:
    """A connection whose commits outlive the machine's power, that waits while another process has the write lock."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def quoted(name: str) -> str:
    """An SQL name, whatever stands in it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
