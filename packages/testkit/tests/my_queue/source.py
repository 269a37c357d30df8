"""Source that reads a queue kept in SQLite: a table of messages, and one of shards that says how long each is.

Guarantee: exactly once: a position is a message's number in its shard, and messages never change.

Needs: a file on a local disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from millstream_my_queue.capabilities import SOURCE

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import (
    EnumeratorContext,
    Fetched,
    ReaderContext,
    Rejected,
    Source,
    SourceReader,
    Split,
    SplitEnumerator,
)


@dataclass(frozen=True)
class MyQueueSource(Source[str]):
    """Reads a queue.

    Args:
        url: path of the file.
    """

    url: str
    bounded: bool = field(init=False, default=True)
    capabilities: SourceCapabilities = field(init=False, default=SOURCE)

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> MyQueueEnumerator:
        return MyQueueEnumerator(context, self.url, state)

    def create_reader(self, context: ReaderContext) -> MyQueueReader:
        return MyQueueReader(context, self.url)


class MyQueueEnumerator(SplitEnumerator):
    """Hands out shards."""

    def __init__(self, context: EnumeratorContext, url: str, state: bytes | None) -> None:
        self._context = context
        self._url = url
        self._state = state
        self._splits: list[Split] = []

    def start(self) -> None:
        if self._state is not None:
            self._splits = [Split(shard, {"next": number}) for shard, number in json.loads(self._state)["splits"]]
            return
        database = sqlite3.connect(f"file:{self._url}?mode=rw", uri=True)
        self._splits = [Split(shard, {"next": 0}) for (shard,) in database.execute("SELECT shard FROM shards ORDER BY shard")]
        database.close()

    def handle_split_request(self, subtask: int) -> None:
        if self._splits:
            self._context.assign(subtask, [self._splits.pop(0)])
        else:
            self._context.no_more_splits(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        self._splits += splits

    def snapshot(self, checkpoint_id: int) -> bytes:
        return json.dumps({"version": 1, "splits": [[split.split_id, split.data["next"]] for split in self._splits]}).encode()

    def close(self) -> None:
        """Holds nothing."""


class MyQueueReader(SourceReader[str]):
    """Reads one shard after the other."""

    def __init__(self, context: ReaderContext, url: str) -> None:
        self._context = context
        self._database = sqlite3.connect(f"file:{url}?mode=rw", uri=True)
        self._next: dict[str, int] = {}
        self._ended: list[str] = []
        self._first = 0
        self._no_more = False

    def start(self) -> None:
        if not self._next:
            self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        for split in splits:
            split.check_version()
            self._next[split.split_id] = split.data["next"]
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[str] | None:
        for shard, first in list(self._next.items()):
            found = self._read(shard, first, max_records)
            if found:
                self._first, self._next[shard] = first, first + len(found)
                rejected = [Rejected(f"shard {shard}, message {number}", b"", "it has no text") for number, text in found if text is None]
                return Fetched(shard, [text for _, text in found if text is not None], rejected=rejected)
            del self._next[shard]
            self._ended.append(shard)
            self._context.request_split()
        return None

    def position(self, split_id: str) -> str:
        return f"shard {split_id}, messages from {self._first}"

    def finished(self) -> bool:
        return self._no_more and not self._next

    def finished_splits(self) -> Sequence[str]:
        ended, self._ended = self._ended, []
        return ended

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [Split(shard, {"next": number}) for shard, number in self._next.items()]

    def close(self) -> None:
        self._database.close()

    def _read(self, shard: str, first: int, most: int) -> list[tuple[int, str | None]]:
        """Messages from a number on; none at the end of the shard."""
        (length,) = self._database.execute("SELECT length FROM shards WHERE shard = ?", [shard]).fetchone()
        wanted = list(range(first, min(first + most, length)))
        rows = "SELECT number, text FROM messages WHERE shard = ? AND number >= ? ORDER BY number LIMIT ?"
        found = self._database.execute(rows, [shard, first, len(wanted)]).fetchall()
        if [number for number, _ in found] != wanted:
            raise LookupError(f"shard {shard} should have messages {wanted[0]} to {wanted[-1]}, and {len(found)} of them are there")
        return found
