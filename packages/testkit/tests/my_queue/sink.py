"""Write-ahead sink that adds messages to a queue kept in SQLite.

Guarantee: exactly once: messages and marker are written in one transaction, which first looks at the lane's fence.

Needs: a file on a local disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from millstream_my_queue.capabilities import SINK

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import EndedRun, SinkContext
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import Fenced


def connect(url: str) -> sqlite3.Connection:
    """A connection without transactions of its own."""
    database = sqlite3.connect(url, isolation_level=None, timeout=10)
    database.execute("CREATE TABLE IF NOT EXISTS results (text)")
    database.execute("CREATE TABLE IF NOT EXISTS lanes (run, sink, lane, fence, checkpoint_id, chunk, PRIMARY KEY (run, sink, lane))")
    return database


@dataclass(frozen=True)
class MyQueueSink(WriteAheadSink[str]):
    """Adds messages.

    Args:
        url: path of the file.
    """

    url: str
    capabilities: SinkCapabilities = field(init=False, default=SINK)

    def check(self, records: Sequence[str]) -> None:
        wrong = [type(record).__name__ for record in records if not isinstance(record, str)]
        if wrong:
            raise TypeError(f"a message is a text, not {wrong[0]}")

    def open(self, context: SinkContext) -> MyQueueLanes:
        return MyQueueLanes(self.url, context)

    def forget_run(self, run: EndedRun) -> None:
        database = connect(self.url)
        database.execute("DELETE FROM lanes WHERE run = ? AND sink = ?", [run.run_id, run.sink_uid])
        database.close()


class MyQueueLanes(WriteAheadLanes[str]):
    """Rows of the table `lanes`."""

    def __init__(self, url: str, context: SinkContext) -> None:
        self._context = context
        self._database = connect(url)

    def fence(self, lane: int) -> None:
        take = "INSERT INTO lanes (run, sink, lane, fence) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET fence = excluded.fence"
        self._database.execute(take, [*self._key(lane), self._context.attempt])

    def read_marker(self, lane: int) -> Marker | None:
        _, checkpoint_id, chunk = self._row(lane) or (0, None, None)
        return None if checkpoint_id is None or chunk is None else Marker(checkpoint_id, chunk)

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[str]) -> None:
        with self._database:  # commits at the end of the block, and rolls back when it raises
            self._database.execute("BEGIN IMMEDIATE")
            row = self._row(lane)
            if row is None or row[0] != self._context.attempt:
                raise Fenced(sink_uid=self._context.sink_uid, lane=lane, attempt=self._context.attempt)
            self._database.executemany("INSERT INTO results VALUES (?)", [[record] for record in records])
            move = "UPDATE lanes SET checkpoint_id = ?, chunk = ? WHERE run = ? AND sink = ? AND lane = ?"
            self._database.execute(move, [checkpoint_id, chunk, *self._key(lane)])

    def close(self) -> None:
        self._database.close()

    def _key(self, lane: int) -> list[str | int]:
        return [self._context.run_id, self._context.sink_uid, lane]

    def _row(self, lane: int) -> tuple[int, int | None, int | None] | None:
        """Fence and marker of a lane."""
        read = "SELECT fence, checkpoint_id, chunk FROM lanes WHERE run = ? AND sink = ? AND lane = ?"
        row: tuple[int, int | None, int | None] | None = self._database.execute(read, self._key(lane)).fetchone()
        return row
