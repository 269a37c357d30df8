"""A TCP connection that is read without ever blocking the caller."""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.ports import Executor

_RECEIVE_BYTES: Final = 65536
_CONNECT_TIMEOUT_S: Final = 5.0
_QUIET_S: Final = 0.1
"""How long one piece of work waits for data: the executor's few threads are needed by others, too."""


class Connection:
    """Connects on first use, and again after the end of a connection.

    Data that is there is read on the caller's thread; only connecting, and waiting while the server is quiet, are left to the executor.

    Args:
        wake: called from any thread when `receive` is worth another call.
    """

    def __init__(self, host: str, port: int, executor: Executor, wake: Callable[[], None]) -> None:
        self._address = (host, port)
        self._executor = executor
        self._wake = wake
        # Guards what the executor's threads touch, too: all of the following.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._error: BaseException | None = None
        self._busy = False
        self._polling = False
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._socket is not None

    def receive(self) -> bytes | None:
        """Data; b"" when the server closed the connection; None when nothing is there, then `wake` will be called.

        Raises:
            OSError: it could not connect, or the connection broke off.
        """
        with self._lock:
            if self._busy:
                return None
            error, self._error = self._error, None
            self._busy = self._socket is None and error is None
        if error is not None:
            self._drop()
            raise error
        connected = self._socket
        if connected is None:
            self._executor.submit(self._connect, self._connected)
            return None
        try:
            data = connected.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            self._busy = True
            self._executor.submit(lambda: self._wait_for_data(connected), self._waited)
            return None
        except OSError:
            self._drop()
            raise
        if not data:
            self._drop()
        return data

    def close(self) -> None:
        """Ends the connection, also one that is just being made or waited for."""
        with self._lock:
            self._closed = True
            if self._polling and self._socket is not None:
                # A descriptor must not be closed under a poll: this makes the poll return, and it closes it then.
                _shut_down(self._socket)
                return
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- on the executor's threads

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setblocking(False)
        return connected

    def _connected(self, connected: socket.socket | None, error: BaseException | None) -> None:
        with self._lock:
            if self._closed:
                if connected is not None:
                    connected.close()
                return
            self._socket, self._error, self._busy = connected, error, False
        self._wake()

    def _wait_for_data(self, connected: socket.socket) -> None:
        if not self._begin_polling():
            return
        try:
            poller = select.poll()
            poller.register(connected, select.POLLIN)
            poller.poll(_QUIET_S * 1000)
        finally:
            self._end_polling()

    def _begin_polling(self) -> bool:
        with self._lock:
            self._polling = not self._closed
            return self._polling

    def _end_polling(self) -> None:
        with self._lock:
            self._polling = False
            if self._closed:
                self._drop()

    def _waited(self, _: None, error: BaseException | None) -> None:
        with self._lock:
            if self._closed:
                return
            self._error, self._busy = error, False
        self._wake()


def _shut_down(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The server was first: then the poll returns as well.
        return
