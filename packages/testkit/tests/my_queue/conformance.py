"""The harnesses of the queue kept in SQLite."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from millstream_my_queue import MyQueueSink, MyQueueSource

from millstream_testkit import Row, SinkHarness, SinkSuite, SourceHarness, SourceSuite


class MyQueueSourceHarness(SourceHarness):
    def create_origin(self, folder: Path) -> str:
        origin = str(folder / "queue.db")
        with closing(sqlite3.connect(origin)) as database, database:
            database.execute("CREATE TABLE messages (shard, number, text)")
            database.execute("CREATE TABLE shards (shard, length)")
            for shard in "abc":
                rows = [(shard, number, f"{shard}{number}") for number in range(15)]
                database.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
                database.execute("INSERT INTO shards VALUES (?, ?)", [shard, len(rows)])
        return origin

    def drop_origin(self, origin: str) -> None:
        """A file in the folder."""

    def source(self, origin: str) -> MyQueueSource:
        return MyQueueSource(origin)

    def expected(self, origin: str) -> Sequence[Any]:
        with closing(sqlite3.connect(origin)) as database:
            return [text for (text,) in database.execute("SELECT text FROM messages")]

    def lose(self, origin: str) -> bool:
        with closing(sqlite3.connect(origin)) as database, database:
            database.execute("DELETE FROM messages")
        return True

    def spoil(self, origin: str) -> int:
        with closing(sqlite3.connect(origin)) as database, database:
            database.execute("INSERT INTO messages VALUES ('b', 15, NULL)")
            database.execute("UPDATE shards SET length = 16 WHERE shard = 'b'")
        return 1

    def hang(self, origin: str) -> bool:
        return False


class TestMyQueueSource(SourceSuite):
    harness = MyQueueSourceHarness


class MyQueueSinkHarness(SinkHarness):
    def create_target(self, folder: Path) -> str:
        return str(folder / "queue.db")

    def drop_target(self, target: str) -> None:
        """A file in the folder."""

    def sink(self, target: str) -> MyQueueSink:
        return MyQueueSink(target)

    def record(self, row: Row) -> str:
        return json.dumps(row)

    def read(self, target: str) -> Sequence[Row]:
        if not os.path.exists(target):
            return []
        with closing(sqlite3.connect(f"file:{target}?mode=rw", uri=True, timeout=10)) as reader:
            if not reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchall():
                return []
            return [tuple(json.loads(text)) for (text,) in reader.execute("SELECT text FROM results")]


class TestMyQueueSink(SinkSuite):
    harness = MyQueueSinkHarness
