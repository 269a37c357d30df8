"""A connection of a client through the proxy to the server: two sockets and a pipe each way."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from millstream_testkit.services.network.pipe import Network, Pipe, shut

if TYPE_CHECKING:
    from millstream_testkit.services.network.faults import Way

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, for no time: closing sends a reset."""


class Connection:
    """Lives on the loop of the proxy.

    Args:
        client: the socket that was accepted.
        target: host and port of the server.
        number: of the connection, from 1.
        network: that it is a part of.
    """

    def __init__(self, client: socket.socket, target: tuple[str, int], number: int, network: Network) -> None:
        self._client = client
        self._target = target
        self._server = socket.socket(client.family)
        for one in (self._client, self._server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # delays are ours to make
        self._up = self._pipe(client, self._server, "upstream", number, network)
        self._down = self._pipe(self._server, client, "downstream", number, network)
        self.task = asyncio.get_running_loop().create_task(self._run())
        # Not at the end of the task's own function: one that is cancelled before its first step never gets there.
        self.task.add_done_callback(lambda _: self._close())
        self.task.add_done_callback(lambda _: network.meter.disconnected())

    def _pipe(self, source: socket.socket, sink: socket.socket, way: Way, number: int, network: Network) -> Pipe:
        return Pipe(source, sink, way, number, network, self.reset, self._end)

    def tell(self) -> None:
        """The faults have changed."""
        self._up.tell()
        self._down.tell()

    def reset(self) -> None:
        """Ends it for both sides with a reset, when its task has ended."""
        for one in (self._client, self._server):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.task.cancel()

    def _end(self) -> None:
        # What both sides still say is read and thrown away: closing a socket with unread bytes is a reset, and takes with it what was passed on.
        for pipe in (self._up, self._down):
            pipe.stop()
        for one in (self._client, self._server):
            shut(one)

    async def _run(self) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(self._server, self._target)
        except OSError:  # nobody listens there: the client is told so late, because it is connected already
            self.reset()
            return
        async with asyncio.TaskGroup() as group:
            for pipe in (self._up, self._down):
                group.create_task(pipe.read())
                group.create_task(pipe.write())

    def _close(self) -> None:
        self._client.close()
        self._server.close()
