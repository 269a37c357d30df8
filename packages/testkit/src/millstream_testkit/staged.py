"""Two-phase sink for a table of a SQLite database, by way of a second table: the reference of the contract.

Guarantee: exactly once. An epoch is staged at the barrier, in a table that no reader looks at, under a handle that is never used again. The
commit moves it in one transaction and notes the handle: the note proves an earlier commit, and without one a missing epoch is lost.

Needs: a database file on a local disk that every attempt of the job can reach.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.two_phase_commit import Committed, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.errors import Fenced, LostEpoch
from millstream.ports import crash_point
from millstream_testkit.ledger import connect, quoted, transaction

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from millstream.contracts.sink import SinkContext

_VERSION: Final = 1
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS millstream_staged (lane TEXT NOT NULL, handle TEXT NOT NULL, record TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS millstream_committed (lane TEXT NOT NULL, handle TEXT PRIMARY KEY, checkpoint_id INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS millstream_fences (lane TEXT PRIMARY KEY, fence INTEGER NOT NULL)",
)
_FENCE: Final = "INSERT INTO millstream_fences VALUES (?, 1) ON CONFLICT (lane) DO UPDATE SET fence = fence + 1"


@dataclass(frozen=True)
class SqliteStagedSink(TwoPhaseCommitSink[Sequence[Any]]):
    """Inserts each record as one row.

    Args:
        path: the database file; made if it is missing.
        table: its name.
        columns: their names. A record is a sequence with a value for each that JSON can carry.
    """

    path: str | Path
    table: str
    columns: Sequence[str]
    capabilities = SinkCapabilities(kind="two_phase_commit", fencing=True, visible_only_committed=True, prepared_survives_disconnect=True)

    def open(self, context: SinkContext) -> SqliteStagedWriter:
        return SqliteStagedWriter(self, context)


class SqliteStagedWriter(TwoPhaseCommitWriter[Sequence[Any]]):
    """The tables as one subtask sees them."""

    def __init__(self, sink: SqliteStagedSink, context: SinkContext) -> None:
        self._context = context
        self._records: list[Sequence[Any]] = []
        self._serial = 0
        columns = ", ".join(map(quoted, sink.columns))
        places = ", ".join("?" for _ in sink.columns)
        self._insert = f"INSERT INTO {quoted(sink.table)} ({columns}) VALUES ({places})"  # noqa: S608 - names are quoted
        self._connection = connect(sink.path)
        try:
            with self._transaction():
                for statement in (*_TABLES, f"CREATE TABLE IF NOT EXISTS {quoted(sink.table)} ({columns})"):
                    self._connection.execute(statement)
                self._fences = {lane: self._new_fence(self._name(lane)) for lane in context.owned_lanes}
        except BaseException:
            self._connection.close()
            raise

    def write(self, values: Sequence[Sequence[Any]], timestamps: Sequence[int] | None) -> None:
        self._records += values
        crash_point("sink.write.mid_epoch")

    def prepare(self, checkpoint_id: int) -> bytes | None:
        records, self._records = self._records, []
        if not records:
            return None
        handle = self._new_handle()
        with self._transaction():
            self._check_fence(self._context.lane)
            self._stage(handle, records)
            crash_point("sink.prepare.mid")
        return json.dumps({"version": _VERSION, "lane": self._name(self._context.lane), "handle": handle}).encode()

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        name, handle = self._decode(committable)
        with self._transaction():
            self._check_fence(lane)
            if self._connection.execute("SELECT 1 FROM millstream_committed WHERE handle = ?", [handle]).fetchone():
                return Committed(already=True)
            staged = self._connection.execute("SELECT record FROM millstream_staged WHERE handle = ? ORDER BY rowid", [handle]).fetchall()
            if not staged:
                raise LostEpoch(sink_uid=self._context.sink_uid, lane=lane, checkpoint_id=checkpoint_id, what=f"nothing is staged under {handle}")
            self._connection.executemany(self._insert, [json.loads(record) for (record,) in staged])
            crash_point("sink.commit.mid")
            self._connection.execute("DELETE FROM millstream_staged WHERE handle = ?", [handle])
            self._connection.execute("INSERT INTO millstream_committed VALUES (?, ?, ?)", [name, handle, checkpoint_id])
        crash_point("sink.commit.applied_no_ack")
        return Committed()

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        kept = {self._decode(committable)[1] for committable in keep}
        for lane in self._context.owned_lanes:
            with self._transaction():
                self._check_fence(lane)
                staged = self._connection.execute("SELECT DISTINCT handle FROM millstream_staged WHERE lane = ?", [self._name(lane)])
                for (handle,) in staged.fetchall():
                    if handle not in kept:
                        self._connection.execute("DELETE FROM millstream_staged WHERE handle = ?", [handle])
            crash_point("recovery.mid_abort")

    def newest_committed(self, lane: int) -> int | None:
        row = self._connection.execute("SELECT max(checkpoint_id) FROM millstream_committed WHERE lane = ?", [self._name(lane)]).fetchone()
        newest: int | None = row[0]
        return newest

    def close(self) -> None:
        self._connection.close()

    def _stage(self, handle: str, records: Sequence[Sequence[Any]]) -> None:
        lane = self._name(self._context.lane)
        self._connection.executemany("INSERT INTO millstream_staged VALUES (?, ?, ?)", [(lane, handle, json.dumps(record)) for record in records])

    def _new_handle(self) -> str:
        """Never used before or after, by anybody."""
        self._serial += 1
        lane = self._context.lane
        return f"{self._name(lane)}/{self._fences[lane]}/{self._serial}"

    def _decode(self, committable: bytes) -> tuple[str, str]:
        found = json.loads(committable)
        if found["version"] != _VERSION:
            msg = f"the committable has version {found['version']}, this release knows version {_VERSION}"
            raise ValueError(msg)
        return found["lane"], found["handle"]

    def _name(self, lane: int) -> str:
        return f"{self._context.run_id}/{self._context.sink_uid}/{lane}"

    def _new_fence(self, name: str) -> int:
        self._connection.execute(_FENCE, [name])
        return self._fence(name)

    def _fence(self, name: str) -> int:
        row = self._connection.execute("SELECT fence FROM millstream_fences WHERE lane = ?", [name]).fetchone()
        fence: int = row[0]
        return fence

    def _check_fence(self, lane: int) -> None:
        if lane not in self._fences or self._fence(self._name(lane)) != self._fences[lane]:
            raise Fenced(sink_uid=self._context.sink_uid, lane=lane, attempt=self._context.attempt)

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self._connection)
