"""One way of a connection: what comes in, when it may go on, and what becomes of it."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from millstream_testkit.services.network.faults import Bandwidth, Cut, DataLimit, Faults, Latency, SlowClose, Way

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from millstream_testkit.services.network.traffic import Meter

_READ_BYTES: Final = 64 * 1024
_QUEUE_BYTES: Final = 4 * 1024 * 1024
"""Behind a cut the proxy takes so much, as the buffers of a network would; then the sender has to wait."""

_SLICE_S: Final = 0.02
"""With a limited bandwidth, what passes at a time takes so long."""


class _Wait(Enum):
    """Until when there is nothing to do."""

    NEWS = "something came, or the faults have changed"
    ROOM = "the receiver takes more"
    EVER = "this way has ended"


_Until: TypeAlias = "_Wait | float"
"""Or so many seconds, or news before."""


@dataclass(slots=True)
class _Piece:
    """What came in one read.

    Attributes:
        data: bytes; empty for the end.
        due_s: when it may be passed on, by the clock of the loop.
        reset: the end was no orderly one.
        passed_bytes: how much of it was passed on.
    """

    data: bytes
    due_s: float
    reset: bool = False
    passed_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """How much was not."""
        return len(self.data) - self.passed_bytes


@dataclass(frozen=True)
class Network:
    """What all connections of a proxy have in common.

    Attributes:
        faults: those that are on.
        meter: counts.
        jitter: random numbers.
    """

    faults: Faults
    meter: Meter
    jitter: random.Random


class Pipe:
    """Reads from one socket and writes to the other. Whether something may pass is decided anew at each write, so that a fault is on at once.

    Args:
        source: to read from.
        sink: to write to.
        way: which of the two this is.
        number: of the connection.
        network: that it is a part of.
        reset: ends the connection with a reset.
        end: ends it orderly; nothing more is passed either way.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        way: Way,
        number: int,
        network: Network,
        reset: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._way: Way = way
        self._number = number
        self._faults = network.faults
        self._meter = network.meter
        self._jitter = network.jitter
        self._reset = reset
        self._end = end
        self._queue: deque[_Piece] = deque()
        self._queued_bytes = 0
        self._passed_bytes = 0
        self._limited_from: dict[DataLimit, int] = {}
        self._due_s = self._free_s = 0.0
        self._torn = self._deaf = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    def tell(self) -> None:
        """The faults have changed."""
        self._news.set()

    def stop(self) -> None:
        """From now on what comes is thrown away, until the sender ends."""
        self._deaf = True
        self._news.set()

    # --- what comes in

    async def read(self) -> None:
        """Until the sender ends."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                piece = _Piece(await loop.sock_recv(self._source, _READ_BYTES), self._due())
            except OSError:
                piece = _Piece(b"", self._due(), reset=True)
            self._take(piece)
            if not piece.data:
                return
            while self._queued_bytes > _QUEUE_BYTES:
                self._room.clear()
                await self._room.wait()

    def _due(self) -> float:
        """When what comes now may go on. Never before what came earlier: a stream has an order."""
        late_s = 0.0
        for fault in self._faults.of(Latency, self._way, self._number):
            late_s += max(0.0, fault.seconds + self._jitter.uniform(-fault.jitter_s, fault.jitter_s))
        self._due_s = max(self._due_s, asyncio.get_running_loop().time() + late_s)
        return self._due_s

    def _take(self, piece: _Piece) -> None:
        for cut in self._faults.of(Cut, self._way, self._number):
            cut.stopped_bytes += len(piece.data)
        self._queue.append(piece)
        self._queued_bytes += len(piece.data)
        self._meter.count(self._way, came=len(piece.data))
        self._news.set()

    # --- what goes on

    async def write(self) -> None:
        """Until the end was passed on."""
        while True:
            self._news.clear()
            until = self._step()
            if until is _Wait.EVER:
                return
            if until is _Wait.ROOM:
                await self._wait_for_room()
            else:
                await self._wait_for_news(None if until is _Wait.NEWS else until)

    async def _wait_for_news(self, timeout_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_writer(self._sink, self._news.set)
        try:
            await self._news.wait()
        finally:
            loop.remove_writer(self._sink)

    def _step(self) -> _Until:
        """Does the next thing, if its time has come."""
        cuts = [] if self._deaf else self._faults.of(Cut, self._way, self._number)
        if self._deaf or any(cut.swallow for cut in cuts):
            self._throw_away()
        if cuts:
            return _Wait.NEWS
        if self._torn and not self._deaf:
            # No network takes bytes out of the middle of a stream and goes on.
            self._reset()
            return _Wait.EVER
        if not self._queue:
            return _Wait.NEWS
        now_s = asyncio.get_running_loop().time()
        piece = self._queue[0]
        due_s = piece.due_s if piece.data or self._deaf else self._end_due(piece)
        if due_s > now_s:
            return due_s - now_s
        return self._pass(piece, now_s) if piece.data else self._pass_end(piece)

    def _throw_away(self) -> None:
        while self._queue and self._queue[0].data:
            piece = self._queue.popleft()
            self._torn = self._torn or not self._deaf
            self._left(lost=piece.left_bytes)

    def _end_due(self, piece: _Piece) -> float:
        return piece.due_s + sum(fault.delay_s for fault in self._faults.of(SlowClose, self._way, self._number))

    def _pass(self, piece: _Piece, now_s: float) -> _Until:
        size = self._allowed_bytes()
        if size <= 0:
            self._end()
            return 0.0
        slowest = min((fault.bytes_per_s for fault in self._faults.of(Bandwidth, self._way, self._number)), default=None)
        if slowest is not None:
            if self._free_s > now_s:
                return self._free_s - now_s
            size = min(size, max(1, int(slowest * _SLICE_S)))
        try:
            count = self._sink.send(piece.data[piece.passed_bytes : piece.passed_bytes + size])
        except BlockingIOError:
            return _Wait.ROOM
        except OSError:  # it is gone; whoever reads from it tells the other side
            self._deaf = True
            return 0.0
        if slowest is not None:
            self._free_s = max(now_s, self._free_s) + count / slowest
        self._was_passed(piece, count)
        return 0.0

    def _allowed_bytes(self) -> int:
        """How much may pass until the connection has to end."""
        limits = self._faults.of(DataLimit, self._way, self._number)
        left = [limit.size_bytes - self._passed_bytes + self._limited_from.setdefault(limit, self._passed_bytes) for limit in limits]
        return min(left, default=_READ_BYTES)

    def _was_passed(self, piece: _Piece, count: int) -> None:
        piece.passed_bytes += count
        self._passed_bytes += count
        if not piece.left_bytes:
            self._queue.popleft()
            if self._way == "upstream":
                self._faults.begin(piece.data)
        self._left(passed=count)
        if self._allowed_bytes() <= 0:
            self._end()

    def _left(self, *, passed: int = 0, lost: int = 0) -> None:
        self._queued_bytes -= passed + lost
        self._meter.count(self._way, passed=passed, lost=lost)
        self._room.set()

    def _pass_end(self, piece: _Piece) -> _Until:
        if piece.reset and not self._deaf:
            self._reset()
        else:
            shut(self._sink)
        return _Wait.EVER


def shut(sink: socket.socket) -> None:
    """Tells the other side that nothing more comes."""
    with suppress(OSError):  # it is gone
        sink.shutdown(socket.SHUT_WR)
