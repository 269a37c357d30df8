"""Waiting for sockets, and being woken from it."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Waited(Protocol):
    """What can be waited for: a connection, or a pipe."""

    @property
    def closed(self) -> bool:
        """There is nothing to wait for any more."""

    @property
    def has_output(self) -> bool:
        """It waits to be written, too."""

    def fileno(self) -> int:
        """For the system."""


class Wakeup:
    """One thread waits; any may wake it."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._set = False
        self._waiting = False

    def wake(self) -> None:
        """Ends the wait that is going on, or else the next one. Safe from any thread."""
        self._set = True
        if self._waiting:
            try:
                self._sender.send(b"\0")
            except OSError:  # full: it is awake already; or closed: nobody waits any more
                return

    def wait(self, connections: Iterable[Waited], timeout_s: float) -> None:
        """Returns when a connection can be read, one with output can be written, somebody wakes, or `timeout_s` has passed."""
        self._waiting = True  # before the look: who sets it after that sends a byte
        if not self._set:
            poll = select.poll()
            poll.register(self._receiver, select.POLLIN)
            for connection in connections:
                if not connection.closed:
                    poll.register(connection, select.POLLIN | (select.POLLOUT if connection.has_output else 0))
            poll.poll(max(0.0, timeout_s) * 1_000)
        self._waiting = self._set = False
        try:
            self._receiver.recv(4_096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """No more waiting."""
        self._receiver.close()
        self._sender.close()
