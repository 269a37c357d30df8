"""Source that reads lines of text from a TCP server.

Guarantee: at most once. What was read is gone from the connection, so after a failure the job goes on with what the server sends then.

Needs: a server that accepts connections when the job starts (`nc -lk 9999`), or retries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from millstream.api.sources.connection import Connection
from millstream.api.sources.enumerator import FixedEnumerator
from millstream.api.sources.line_splitter import MAX_LINE_BYTES, LineSplitter
from millstream.contracts.format import DecodeError
from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Rejected, Source, SourceReader, Split
from millstream.errors import InvalidArgument, ServerUnreachable, shorten
from millstream.formats.lines import check_line_encoding
from millstream.formats.text import TextFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

SOCKET_CAPABILITIES: Final = SourceCapabilities(replayable=False, why_not="what was read from a socket cannot be read again")

_READ: Final = "lines"


@dataclass(frozen=True)
class SocketSource(Source[str]):
    r"""Emits each line that the server sends, without its end; the input ends when the server closes the connection.

    One split: more than one reader are of no use. A rest without a line end is a line, if the server closed the connection behind it.

    Args:
        host: name or address of the server.
        port: 1 to 65535.
        delimiter: what ends a line; with `\n`, a `\r` before it belongs to the end, too.
        encoding: how text is written as bytes; one that keeps ASCII (UTF-16 does not). A line that is not text in it is rejected, and so is
            one of more than 16 MiB.
        max_retries: how often in a row it connects again when the server is not there, or closes the connection or breaks it off;
            None for ever. After the last try the input has ended if the server closed the last connection; else the job fails.
        retry_delay: pause before each of these tries.

    Raises:
        InvalidArgument: an option makes no sense.
    """

    host: str
    port: int
    delimiter: str = "\n"
    encoding: str = "utf-8"
    max_retries: int | None = 0
    retry_delay: timedelta = timedelta(milliseconds=500)
    bounded: bool = field(init=False, default=False, repr=False)
    capabilities: SourceCapabilities = field(init=False, default=SOCKET_CAPABILITIES, repr=False)

    def __post_init__(self) -> None:
        check_line_encoding("SocketSource(encoding=...)", self.encoding)
        retries: Any = self.max_retries
        delay: Any = self.retry_delay
        _require("host", self.host, isinstance(self.host, str) and self.host != "", "the name or address of a server")
        _require("port", self.port, _is_whole(self.port) and 1 <= self.port <= 65535, "a whole number from 1 to 65535")
        _require("delimiter", self.delimiter, _can_delimit(self.delimiter, self.encoding), f"at least one character of {self.encoding}")
        _require("max_retries", retries, retries is None or (_is_whole(retries) and retries >= 0), "a whole number from 0, or None")
        _require("retry_delay", delay, isinstance(delay, timedelta) and delay >= timedelta(0), "a timedelta from 0")

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> FixedEnumerator:
        # It does not try to connect: many a simple server takes one connection only, and that must be the reader's.
        return FixedEnumerator(context, [Split(f"{self.host}:{self.port}", {_READ: 0})], state)

    def create_reader(self, context: ReaderContext) -> SocketReader:
        return SocketReader(context, self)


def _require(option: str, value: object, fits: bool, allowed: str) -> None:
    if not fits:
        raise InvalidArgument(what=f"SocketSource({option}=...)", value=shorten(value), allowed=allowed)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _can_delimit(delimiter: object, encoding: str) -> bool:
    try:
        return isinstance(delimiter, str) and len(delimiter.encode(encoding)) > 0
    except UnicodeEncodeError:
        return False


class SocketReader(SourceReader[str]):
    """Lines for the reader that has the split; nothing for the others."""

    def __init__(self, context: ReaderContext, source: SocketSource) -> None:
        self._context = context
        self._source = source
        self._connection = Connection(source.host, source.port, context.executor, context.wake)
        self._splitter = LineSplitter(source.delimiter.encode(source.encoding))
        self._decoder = TextFormat(source.encoding).decoder()
        self._split_id: str | None = None
        self._lines: list[bytes] = []
        self._line_number = 0
        self._retries = 0
        self._retry_at_s: float | None = None
        self._closed_by_server = False
        self._input_ended = False
        self._no_more = False
        self._finished_splits: list[str] = []

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        for split in splits:
            self._split_id = split.split_id
            split.check_version()
            self._line_number = split.data[_READ]
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[str] | None:
        split_id = self._split_id
        if split_id is None:
            return None
        rejected: list[Rejected] = []
        if not self._lines and not self._input_ended and not self._receive(split_id, rejected):
            return None
        if self._input_ended and not self._lines:
            self._split_id = None
            self._finished_splits.append(split_id)
            return Fetched(split_id, [], rejected=rejected) if rejected else None
        lines, self._lines = self._lines[:max_records], self._lines[max_records:]
        return Fetched(split_id, self._decode(split_id, lines, rejected), rejected=rejected)

    def _receive(self, split_id: str, rejected: list[Rejected]) -> bool:
        """Reads what is there, perhaps less than a line. False when there is nothing just now."""
        if self._retry_at_s is not None and self._context.clock.monotonic_s() < self._retry_at_s:
            return False
        self._retry_at_s = None
        was_open = self._connection.is_open
        try:
            data = self._connection.receive()
        except OSError as error:
            if was_open:
                self._closed_by_server = False
                self._reject(split_id, self._splitter.rest(), "the connection broke off before the end of the line", rejected)
            self._try_again(error)
            return True
        if data is None:
            return False
        if data:
            self._retries = 0
            self._lines = self._splitter.feed(data)
            self._reject(split_id, self._splitter.take_too_long(), f"the line is longer than {MAX_LINE_BYTES} bytes", rejected)
        else:
            self._closed_by_server = True
            rest = self._splitter.rest()
            self._lines = [rest] if rest else []
            self._try_again(None)
        return True

    def _try_again(self, error: OSError | None) -> None:
        """Plans the next try to connect; without one the input has ended, or the job fails."""
        source = self._source
        if source.max_retries is None or self._retries < source.max_retries:
            self._retries += 1
            self._retry_at_s = self._context.clock.monotonic_s() + source.retry_delay.total_seconds()
        elif error is None or self._closed_by_server:
            self._input_ended = True
        else:
            raise ServerUnreachable(
                what="The socket source",
                host=source.host,
                port=source.port,
                reason=str(error),
                tries=self._retries + 1,
                fix="Start the server before the job, correct host or port, or let the source try again with max_retries and retry_delay.",
            ) from error

    def _reject(self, split_id: str, raw: bytes, error: str, rejected: list[Rejected]) -> None:
        if raw:
            self._line_number += 1
            rejected.append(Rejected(f"{split_id}, line {self._line_number}", raw, error))

    def _decode(self, split_id: str, lines: list[bytes], rejected: list[Rejected]) -> list[str]:
        first = self._line_number + 1
        self._line_number += len(lines)
        try:
            return self._decoder.decode_many(lines)
        except DecodeError:
            values = []
            for number, line in enumerate(lines, first):
                try:
                    values.append(self._decoder.decode(line))
                except DecodeError as error:
                    rejected.append(Rejected(f"{split_id}, line {number}, column {error.column}", line, error.reason))
            return values

    def ready_at_s(self) -> float | None:
        return self._retry_at_s

    def finished(self) -> bool:
        return self._no_more and self._split_id is None

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished_splits = self._finished_splits, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [] if self._split_id is None else [Split(self._split_id, {_READ: self._line_number})]

    def close(self) -> None:
        self._connection.close()
