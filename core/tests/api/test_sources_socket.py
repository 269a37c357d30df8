"""Lines from a TCP server on the loopback interface."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.api.sources import SocketSource
from millstream.api.sources.line_splitter import MAX_LINE_BYTES, LineSplitter
from millstream.api.sources.socket import SocketReader
from millstream.contracts.metrics import MetricGroup
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Split
from millstream.errors import InvalidArgument, ServerUnreachable
from millstream.ports import LocalStorage, SeededRandom, SystemClock, ThreadExecutor

PATIENCE_S = 8.0


class Reading(ReaderContext):
    """A reader on a thread of its own mailbox: calls `fetch` when woken or when the reader said so."""

    metrics: MetricGroup

    def __init__(self, source: SocketSource, *, data: dict[str, Any] | None = None) -> None:
        self.subtask, self.parallelism = 0, 1
        self.clock = SystemClock()
        self.random = SeededRandom(0)
        self.storage = LocalStorage()
        self.executor = ThreadExecutor()
        self._woken = threading.Event()
        self.fetches = 0
        self.reader: SocketReader = source.create_reader(self)
        self.reader.add_splits([Split(f"{source.host}:{source.port}", data or {"lines": 0})])
        self.reader.no_more_splits()

    def wake(self) -> None:
        self._woken.set()

    def request_split(self) -> None:
        raise AssertionError

    def send_to_enumerator(self, message: bytes) -> None:
        raise AssertionError(message)

    def next(self, max_records: int = 1000) -> Fetched[str] | None:
        """The next fetch with something in it; None at the end of the input."""
        deadline = self.clock.monotonic_s() + PATIENCE_S
        while self.clock.monotonic_s() < deadline:
            self.fetches += 1
            fetched = self.reader.fetch(max_records)
            if fetched is not None:
                if fetched.values or fetched.rejected:
                    return fetched
                continue
            if self.reader.finished():
                return None
            ready = self.reader.ready_at_s()
            self.clock.wait(self._woken, max(0.0, min(1.0, (ready or deadline) - self.clock.monotonic_s())))
        pytest.fail("nothing came")

    def lines(self, count: int | None = None, max_records: int = 1000) -> list[str]:
        """So many lines, or all until the end."""
        values: list[str] = []
        while (count is None or len(values) < count) and (fetched := self.next(max_records)) is not None:
            assert not fetched.rejected
            assert len(fetched.values) <= max_records
            values += fetched.values
        return values

    def close(self) -> None:
        self.reader.close()
        self.executor.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        yield listening


def source_of(server: socket.socket, **options: Any) -> SocketSource:
    return SocketSource("127.0.0.1", server.getsockname()[1], **options)


@pytest.fixture
def read() -> Iterator[Any]:
    opened: list[Reading] = []

    def open_(source: SocketSource, **options: Any) -> Reading:
        opened.append(Reading(source, **options))
        return opened[-1]

    yield open_
    for reading in opened:
        reading.close()


def accept(server: socket.socket, reading: Reading) -> socket.socket:
    """The reader's connection: it connects at its first fetch."""
    assert reading.reader.fetch(1) is None
    return server.accept()[0]


def send_and_close(peer: socket.socket, data: bytes) -> None:
    with peer:
        peer.sendall(data)


def break_off(peer: socket.socket) -> None:
    """Resets the connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def test_lines_come_until_the_server_closes_and_then_the_input_has_ended(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    with accept(server, reading) as peer:
        peer.sendall("to be\r\nor not\n\nzu spät\nlast".encode())
    assert reading.lines() == ["to be", "or not", "", "zu spät", "last"]
    assert list(reading.reader.finished_splits()) == [f"127.0.0.1:{server.getsockname()[1]}"]
    assert reading.reader.snapshot(1) == []


def test_a_line_in_pieces_comes_when_it_is_whole(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server, delimiter="||"))
    with accept(server, reading) as peer:
        for piece in ("first|", "|sec", "ond||thi"):
            peer.sendall(piece.encode())
        assert reading.lines(2) == ["first", "second"]
        peer.sendall(b"rd||")
        assert reading.lines(1) == ["third"]


def test_a_batch_has_no_more_lines_than_asked_for(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    with accept(server, reading) as peer:
        peer.sendall(b"".join(b"%d\n" % number for number in range(5000)))
    assert reading.lines(max_records=7) == [str(number) for number in range(5000)]


def test_a_lone_line_comes_within_milliseconds_and_a_quiet_server_costs_little(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    delays = []
    with accept(server, reading) as peer:
        for number in range(20):
            timer = threading.Timer(0.01, lambda line=number: peer.sendall(f"{line} {time.monotonic()}\n".encode()))
            timer.start()
            [line] = reading.lines(1)
            delays.append(time.monotonic() - float(line.split()[1]))
            timer.join()
    assert sorted(delays)[10] < 0.02
    assert reading.fetches < 200


def test_text_that_is_not_in_the_encoding_is_rejected_with_its_place_and_the_rest_comes_through(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    with accept(server, reading) as peer:
        peer.sendall(b"good\nb\xff\xfed\nalso good\n")
        fetched = reading.next()
        assert fetched.values == ["good", "also good"]
        [rejected] = fetched.rejected
        assert rejected.raw == b"b\xff\xfed"
        assert rejected.position == f"127.0.0.1:{server.getsockname()[1]}, line 2, column 2"
        assert "0xff" in rejected.error
        assert reading.reader.snapshot(1)[0].data == {"lines": 3}


def test_a_server_that_is_not_there_fails_with_its_address_and_the_fix(read: Any) -> None:
    port = free_port()
    with pytest.raises(ServerUnreachable, match=rf"127\.0\.0\.1:{port}: .*refused.* Start the server.*max_retries") as failure:
        read(SocketSource("127.0.0.1", port)).lines()
    assert (failure.value.host, failure.value.port, failure.value.tries) == ("127.0.0.1", port, 1)


def test_with_retries_the_error_comes_after_the_last(read: Any) -> None:
    with pytest.raises(ServerUnreachable, match="after 3 tries") as failure:
        read(SocketSource("127.0.0.1", free_port(), max_retries=2, retry_delay=timedelta(milliseconds=5))).lines()
    assert failure.value.tries == 3


@pytest.mark.parametrize("max_retries", [1000, None])
def test_with_retries_the_server_may_start_later(max_retries: int | None, read: Any) -> None:
    port = free_port()
    reading = read(SocketSource("127.0.0.1", port, max_retries=max_retries, retry_delay=timedelta(milliseconds=5)))
    while reading.reader.ready_at_s() is None:  # until the first try has failed
        reading.reader.fetch(1)
        reading.clock.wait(threading.Event(), 0.001)
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(PATIENCE_S)
        accepting = threading.Thread(target=lambda: send_and_close(server.accept()[0], b"here\n"))
        accepting.start()
        assert reading.lines(1) == ["here"]
        accepting.join()


def test_with_retries_it_reads_on_when_the_server_accepts_again_and_ends_when_it_does_not(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server, max_retries=1, retry_delay=timedelta(0)))
    send_and_close(accept(server, reading), b"one\ntwo")
    assert reading.lines(2) == ["one", "two"]
    send_and_close(accept(server, reading), b"three\n")
    server.close()
    assert reading.lines() == ["three"]


def test_a_connection_that_breaks_off_fails_the_job(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    peer = accept(server, reading)
    peer.sendall(b"whole\npart")
    assert reading.lines(1) == ["whole"]
    break_off(peer)
    with pytest.raises(ServerUnreachable, match="reset"):
        reading.lines()


def test_with_retries_a_line_that_was_broken_off_is_rejected_and_not_glued_to_the_next(server: socket.socket, read: Any) -> None:
    reading = read(source_of(server, max_retries=1, retry_delay=timedelta(0)))
    peer = accept(server, reading)
    peer.sendall(b"whole\npart")
    assert reading.lines(1) == ["whole"]
    break_off(peer)
    fetched = reading.next()
    assert [(rejected.raw, rejected.position[-6:]) for rejected in fetched.rejected] == [(b"part", "line 2")]
    with accept(server, reading) as peer:
        peer.sendall(b"next\n")
    assert reading.lines(1) == ["next"]


@pytest.mark.parametrize("moment", ["before connecting", "connecting", "waiting", "with data unread"])
def test_closing_ends_the_connection_at_once_whatever_it_is_doing(moment: str, server: socket.socket, read: Any) -> None:
    reading = read(source_of(server))
    if moment != "before connecting":
        peer = accept(server, reading)
        if moment != "connecting":
            peer.sendall(b"line\nunread\n")
            assert reading.lines(1, max_records=1) == ["line"]
        if moment == "waiting":
            assert reading.lines(1) == ["unread"]
            assert reading.reader.fetch(1) is None
        with peer:
            reading.close()
            peer.settimeout(PATIENCE_S)
            # The end of the connection, or its reset when data was left unread.
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
    reading.close()


class Enumerating(EnumeratorContext):
    def __init__(self) -> None:
        self.parallelism = 2
        self.calls: list[object] = []

    def assign(self, subtask: int, splits: Any) -> None:
        self.calls.append((subtask, list(splits)))

    def no_more_splits(self, subtask: int) -> None:
        self.calls.append(subtask)


def test_one_reader_gets_the_connection_and_a_restored_one_connects_anew(server: socket.socket, read: Any) -> None:
    source = pickle.loads(pickle.dumps(source_of(server)))
    context: Any = Enumerating()
    enumerator = source.create_enumerator(context, None)
    for subtask in (1, 0):
        enumerator.handle_split_request(subtask)
    assert context.calls == [1, (0, [Split(f"127.0.0.1:{source.port}", {"lines": 0})]), 0]
    reading = read(source, data={"lines": 17})
    with accept(server, reading) as peer:
        peer.sendall(b"\xff\n")
    assert reading.next().rejected[0].position.endswith("line 18, column 1")


def test_it_says_why_it_cannot_be_replayed() -> None:
    capabilities = SocketSource("localhost", 1).capabilities
    assert not capabilities.replayable
    assert capabilities.why_not == "what was read from a socket cannot be read again"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": "9999"}, "port"),
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "→", "encoding": "ascii"}, "delimiter"),
        ({"encoding": "utf-16"}, "encoding"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_delay": 0.5}, "retry_delay"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"SocketSource\({named}=...\)"):
        SocketSource(**({"host": "localhost", "port": 9999} | options))


@given(st.lists(st.text("axy", max_size=6).map(str.encode), max_size=8), st.sampled_from([b"b", b"ab", b"aab"]), st.data())
def test_lines_are_the_same_however_they_were_cut_on_the_way(lines: list[bytes], delimiter: bytes, data: st.DataObject) -> None:
    sent = delimiter.join([*lines, b""])
    expected = sent.split(delimiter)
    splitter = LineSplitter(delimiter)
    got: list[bytes] = []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        got += splitter.feed(sent[:size])
        sent = sent[size:]
    assert [*got, splitter.rest()] == expected


def test_a_return_before_the_line_feed_belongs_to_the_line_end_also_when_they_come_apart() -> None:
    splitter = LineSplitter(b"\n")
    assert splitter.feed(b"a\rb\r") + splitter.feed(b"\nc\n") == [b"a\rb", b"c"]


def test_a_line_without_end_is_dropped_with_bounded_memory_and_the_next_one_is_read() -> None:
    splitter = LineSplitter(b"--")
    block = b"x" * 2**20
    for _ in range(MAX_LINE_BYTES // len(block) + 5):
        assert splitter.feed(block) == []
        assert len(splitter._buffer) <= MAX_LINE_BYTES
    assert splitter.take_too_long() == b"x" * 1000
    assert splitter.take_too_long() == b""
    assert splitter.feed(b"end-") == []
    assert splitter.feed(b"-next--") == [b"next"]
