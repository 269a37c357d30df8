"""Harnesses of the sinks that come with Millstream: the file sink, and the reference sinks of the kit."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream_filesystem import FileSink
from millstream_testkit.harness import SinkHarness
from millstream_testkit.ledger import SqliteLedgerSink
from millstream_testkit.staged import SqliteStagedSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_testkit.oracle import Row

TABLE = "results"
COLUMNS = ("number", "key", "place")


def rows_of_table(target: str, table: str = TABLE) -> list[Row]:
    """What a reader of a SQLite table finds; nothing when there is no table yet."""
    if not Path(target).exists():
        return []
    connection = sqlite3.connect(f"file:{target}?mode=rw", uri=True, timeout=5)
    try:
        return connection.execute(f'SELECT number, "key", place FROM {table}').fetchall()  # noqa: S608 - a constant
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        connection.close()


class FileSinkHarness(SinkHarness):
    """`FileSink(delivery="exactly_once")`: finished files only."""

    name = "FileSink(exactly_once)"
    not_passed = frozenset({"sink.commit.mid"})

    def sink(self, target: str) -> FileSink[Row]:
        return FileSink(target, format="json", delivery="exactly_once")

    def read(self, target: str) -> Sequence[Row]:
        folder = Path(target)
        files = [path for path in folder.iterdir() if path.name[0] not in "._"] if folder.exists() else []
        return [tuple(json.loads(line)) for path in files for line in path.read_text().splitlines()]

    def leftovers(self, target: str) -> Sequence[str]:
        hidden = [path for path in Path(target, ".millstream").rglob("*") if path.is_file()]
        return [str(path.relative_to(target)) for path in hidden if not path.name.startswith("committed-")]

    def committable_version(self, committable: bytes) -> int:
        version: Any = msgspec.msgpack.decode(committable)[0]
        return int(version)


class PlainFileSinkHarness(FileSinkHarness):
    """`FileSink(delivery="at_least_once")`."""

    name = "FileSink(at_least_once)"
    not_passed = frozenset()

    def sink(self, target: str) -> FileSink[Row]:
        return FileSink(target, format="json", delivery="at_least_once")


class LedgerHarness(SinkHarness):
    """`SqliteLedgerSink`: the write-ahead reference."""

    name = "SqliteLedgerSink"
    ordered = True

    def sink(self, target: str) -> SqliteLedgerSink:
        return SqliteLedgerSink(target, TABLE, COLUMNS)

    def read(self, target: str) -> Sequence[Row]:
        return rows_of_table(target)


class ChunkedLedgerHarness(LedgerHarness):
    """The same, with few rows per commit."""

    name = "SqliteLedgerSink(max_commit_records=7)"
    oversized_records = 500

    def sink(self, target: str) -> SqliteLedgerSink:
        return SqliteLedgerSink(target, TABLE, COLUMNS, max_commit_records=7)


class StagedHarness(SinkHarness):
    """`SqliteStagedSink`: the two-phase reference."""

    name = "SqliteStagedSink"
    ordered = True

    def sink(self, target: str) -> SqliteStagedSink:
        return SqliteStagedSink(target, TABLE, COLUMNS)

    def read(self, target: str) -> Sequence[Row]:
        return rows_of_table(target)

    def leftovers(self, target: str) -> Sequence[str]:
        if not Path(target).exists():
            return []
        connection = sqlite3.connect(f"file:{target}?mode=rw", uri=True, timeout=5)
        try:
            return [str(row) for row in connection.execute("SELECT DISTINCT handle FROM millstream_staged").fetchall()]
        finally:
            connection.close()

    def committable_version(self, committable: bytes) -> int:
        version: Any = json.loads(committable)["version"]
        return int(version)


RIGHT_SINKS = (FileSinkHarness(), LedgerHarness())
