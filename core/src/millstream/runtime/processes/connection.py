"""A stream socket that carries frames, and never makes its owner wait."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from millstream.runtime.processes.frames import FrameReader, header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.runtime.processes.frames import Frame, Kind

_READ: Final = 1 << 18
_BUFFERS: Final = 64
"""Pieces handed to the system in one call; some allow no more than 1,024."""

_SOCKET_BUFFER: Final = 1 << 20


class Connection:
    """One end. All but `queue` belongs to one thread.

    What is queued waits in memory without a bound: whoever queues keeps to credits, or sends little.

    Attributes:
        closed: nothing comes any more and nothing goes: this end was closed, or the other one.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        self._socket = sock
        self._reader = FrameReader()
        # One piece of memory for all that comes: a new one of this size for each read costs more than the read.
        self._input = memoryview(bytearray(_READ))
        self._out: deque[memoryview] = deque()
        self.closed = False

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def queue(self, channel: int, kind: Kind, payload: bytes) -> None:
        """Sends at the next `flush`. Safe from any thread."""
        # One piece each, so that frames of two threads do not mix.
        self._out.append(memoryview(header(channel, kind, len(payload)) + payload))

    @property
    def has_output(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out) and not self.closed

    def flush(self) -> bool:
        """Sends what the system takes without waiting. True when that was something."""
        out, progressed = self._out, False
        while out and not self.closed:
            pieces = [out[number] for number in range(min(len(out), _BUFFERS))]
            try:
                sent = self._socket.sendmsg(pieces)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # the other process has ended; what it left is still to be read
                out.clear()
                break
            progressed = True
            for piece in pieces:
                if sent < len(piece):
                    out[0] = piece[sent:]
                    break
                sent -= len(piece)
                out.popleft()
        return progressed

    def receive(self) -> Iterator[Frame]:
        """The frames that have come.

        Raises:
            BrokenOff: the stream ended inside of one.
            ForeignFrames: the bytes are none.
        """
        while not self.closed:
            try:
                count = self._socket.recv_into(self._input)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                count = 0
            if not count:
                self.close()
                self._reader.end()
                return
            yield from self._reader.feed(self._input[:count])
            if count < _READ:
                return

    def close(self) -> None:
        """Ends it; what waits to be sent is dropped."""
        self.closed = True
        self._out.clear()
        self._socket.close()
