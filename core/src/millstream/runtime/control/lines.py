"""Lines of a socket, up to a size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from millstream.errors import ControlRequestInvalid

if TYPE_CHECKING:
    import socket

_READ: Final = 65_536


class LineReader:
    """Reads lines.

    Args:
        connection: where from; its timeout is changed.
        most_bytes: longest line that is taken.
    """

    def __init__(self, connection: socket.socket, most_bytes: int) -> None:
        self._connection = connection
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._searched = 0

    def read(self, timeout_s: float) -> bytes | None:
        """The next line; None at the end of the connection, also where it ends inside a line.

        Raises:
            TimeoutError: it was not there in time.
            ControlRequestInvalid: it is too long.
            OSError: the connection is broken.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._searched = 0
                return line
            self._searched = len(self._buffer)
            if len(self._buffer) > self._most_bytes:
                raise ControlRequestInvalid(reason=f"a line has more than {self._most_bytes:,} bytes")
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._connection.settimeout(left_s)
            data = self._connection.recv(_READ)
            if not data:
                return None
            self._buffer += data
