"""Reads the files that one subtask was given, one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from millstream.contracts.format import DecodeError, Decoder, Format
from millstream.contracts.source import Fetched, ReaderContext, Rejected, SourceReader, Split
from millstream.errors import FileHeaderInvalid
from millstream.ports import crash_point
from millstream_filesystem.formats import skips_blank_lines
from millstream_filesystem.pace import Pace
from millstream_filesystem.split import FileSplit
from millstream_filesystem.split_file import SplitFile

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class FileReader(SourceReader[T]):
    """Lines of files to records.

    It reads in the caller's thread: a block of a local file is there sooner than another thread would be.

    Args:
        context: of the subtask.
        format_: of all files.
        records_per_second: for all subtasks together; None for no limit.
    """

    def __init__(self, context: ReaderContext, format_: Format[T], records_per_second: float | None) -> None:
        self._context = context
        self._format = format_
        self._skips_blank_lines = skips_blank_lines(format_)
        self._pace = Pace(context.clock, records_per_second / context.parallelism if records_per_second else None)
        self._queue: deque[FileSplit] = deque()
        self._reading: tuple[SplitFile, Decoder[T]] | None = None
        self._finished_splits: list[str] = []
        self._requested = False
        self._no_more = False
        self._lines = range(0)

    def start(self) -> None:
        self._request_if_idle()

    def add_splits(self, splits: Sequence[Split]) -> None:
        self._queue.extend(FileSplit.from_split(split) for split in splits)
        self._requested = False
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[T] | None:
        limit = self._pace.allowance(max_records)
        while limit and (reading := self._reading or self._open_next()) is not None:
            file, decoder = reading
            first, lines = file.take(limit)
            self._lines = range(first, first + len(lines))
            fetched = self._decode(file.path, decoder, first, lines)
            if file.ended:
                self._finish(file)
                crash_point("source.split.finished_not_checkpointed")
            else:
                crash_point("source.split.mid")
            if fetched.values or fetched.rejected:
                self._pace.count(len(fetched.values) + len(fetched.rejected))
                return fetched
        return None

    def ready_at_s(self) -> float | None:
        return self._pace.ready_at_s

    def position(self, split_id: str) -> str:
        first, behind = self._lines.start, self._lines.stop
        return f"{split_id}, line {first}" if behind == first + 1 else f"{split_id}, lines {first} to {behind - 1}"

    def finished(self) -> bool:
        return self._no_more and self._reading is None and not self._queue

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished_splits = self._finished_splits, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        reading = [self._reading[0].position()] if self._reading is not None else []
        return [split.to_split() for split in (*reading, *self._queue)]

    def close(self) -> None:
        if self._reading is not None:
            self._reading[0].close()

    def _open_next(self) -> tuple[SplitFile, Decoder[T]] | None:
        if not self._queue:
            return None
        # The split stays in the queue until its file is open: an error must not take it out of the snapshot.
        file = SplitFile(self._context.storage, self._queue[0], has_header=self._format.has_header)
        try:
            decoder = self._format.decoder(file.header if self._format.has_header else None)
        except DecodeError as error:
            file.close()
            raise FileHeaderInvalid(path=file.path, reason=error.reason) from error
        self._queue.popleft()
        self._reading = file, decoder
        return self._reading

    def _finish(self, file: SplitFile) -> None:
        file.close()
        self._reading = None
        self._finished_splits.append(file.path)
        self._request_if_idle()

    def _request_if_idle(self) -> None:
        if not (self._queue or self._reading or self._requested or self._no_more):
            self._requested = True
            self._context.request_split()

    def _decode(self, path: str, decoder: Decoder[T], first: int, lines: list[bytes]) -> Fetched[T]:
        numbers: Sequence[int] = range(first, first + len(lines))
        if self._skips_blank_lines and b"" in lines:
            numbers = [number for number, line in zip(numbers, lines) if line]
            lines = [line for line in lines if line]
        try:
            return Fetched(path, decoder.decode_many(lines))
        except DecodeError:
            return _decode_one_by_one(path, decoder, numbers, lines)


def _decode_one_by_one(path: str, decoder: Decoder[T], numbers: Sequence[int], lines: list[bytes]) -> Fetched[T]:
    fetched: Fetched[T] = Fetched(path, [])
    for number, line in zip(numbers, lines):
        try:
            fetched.values.append(decoder.decode(line))
        except DecodeError as error:
            fetched.rejected.append(Rejected(_position(path, number, error), line, error.reason))
    return fetched


def _position(path: str, line: int, error: DecodeError) -> str:
    parts = [path, f"line {line}"]
    if error.column is not None:
        parts.append(f"column {error.column}")
    if error.field is not None:
        parts.append(f"field {error.field}")
    return ", ".join(parts)
