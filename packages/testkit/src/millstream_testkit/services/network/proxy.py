"""Forwards TCP on the loopback interface, and breaks it when told to."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream_testkit.services.network.connection import Connection
from millstream_testkit.services.network.faults import (
    WAYS,
    Bandwidth,
    Connections,
    Cut,
    DataLimit,
    Fault,
    Faults,
    Latency,
    Refusal,
    SlowClose,
    Ways,
)
from millstream_testkit.services.network.pipe import Network
from millstream_testkit.services.network.traffic import Meter, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Self

F = TypeVar("F", bound=Fault)
T = TypeVar("T")

_BACKLOG: Final = 128
_CLOSE_S: Final = 10.0


class NetworkProxy:
    """A port of 127.0.0.1 behind which a server can be reached, as long as no fault stands in the way.

    Faults may be switched on and off at any time and from any thread; several may be on. Each is on when its call returns: no byte passes
    behind a cut. A connection is accepted by the operating system, so a cut stops what it says and not its making; `refuse` does that.

    Args:
        target: the server, `host:port`. It may come later, and go.
        port: to listen on; 0 for one that is free.
        jitter: random numbers for latency; None for the same ones each time.

    Raises:
        ValueError: the target is no `host:port`.
        OSError: the port is taken.
    """

    def __init__(self, target: str, *, port: int = 0, jitter: random.Random | None = None) -> None:
        host, colon, number = target.rpartition(":")
        if not colon or not host or not number.isdecimal():
            msg = f"the target of a NetworkProxy is {target!r}, and should be host:port, such as '127.0.0.1:9092'"
            raise ValueError(msg)
        self.target = target
        self._to = socket.gethostbyname(host), int(number)
        # Keeps the port while connections are refused: it is bound, and nobody listens on it.
        self._keeper = _bound(port)
        self.address = f"127.0.0.1:{self._keeper.getsockname()[1]}"
        self._meter = Meter()
        self._faults = Faults()
        self._network = Network(self._faults, self._meter, jitter or random.Random(0))
        self._connections: dict[Connection, None] = {}
        self._broken: list[BaseException] = []
        self._listener: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"network-proxy-{self.address}", daemon=True)
        self._thread.start()
        self._call(self._listen)

    def __repr__(self) -> str:
        return f"NetworkProxy({self.target!r} at {self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it has done

    def traffic(self) -> Traffic:
        """What it has carried so far."""
        return self._meter.read()

    def wait_for(self, condition: Callable[[Traffic], bool], timeout_s: float = 30.0) -> Traffic:
        """Returns as soon as the condition holds; it is asked whenever something came, passed or was lost.

        Raises:
            TimeoutError: it did not within the time.
        """
        return self._meter.wait_for(condition, timeout_s)

    # --- faults

    def cut(
        self, ways: Ways = "both", *, swallow: bool = False, connections: Connections = "all", after: Callable[[bytes], bool] | None = None
    ) -> Cut:
        """Nothing passes any more, not even the end of a connection, and nobody is told.

        Args:
            ways: "upstream" is from the client to the server.
            swallow: what comes is lost, and connections that have lost something are reset when it is healed. Else it waits and arrives then.
            connections: which.
            after: wait with it until a piece has gone upstream for which this is true: with "downstream", the request arrives and its answer
                is lost. A piece is what came in one read. It runs on the thread of the proxy and must not call it.
        """
        return self._switch_on(Cut, ways, connections, swallow=swallow, after=after)

    def latency(self, seconds: float, *, jitter_s: float = 0.0, ways: Ways = "both", connections: Connections = "all") -> Latency:
        """What comes is passed on later, in its order. What is on its way when it is healed still comes late.

        Args:
            seconds: how much later, each way.
            jitter_s: by how much more or less, drawn for each piece.
            ways: "upstream" is from the client to the server.
            connections: which.
        """
        return self._switch_on(Latency, ways, connections, seconds=seconds, jitter_s=jitter_s)

    def bandwidth(self, bytes_per_s: float, *, ways: Ways = "both", connections: Connections = "all") -> Bandwidth:
        """Each connection passes no more than so much, each way.

        Raises:
            ValueError: that is nothing.
        """
        if bytes_per_s <= 0:
            msg = f"bandwidth({bytes_per_s}) lets nothing pass, and should be above 0; cut() is for that"
            raise ValueError(msg)
        return self._switch_on(Bandwidth, ways, connections, bytes_per_s=bytes_per_s)

    def slow_close(self, delay_s: float, *, ways: Ways = "both", connections: Connections = "all") -> SlowClose:
        """The end of a connection is passed on later."""
        return self._switch_on(SlowClose, ways, connections, delay_s=delay_s)

    def limit_data(self, size_bytes: int, *, ways: Ways = "both", connections: Connections = "all") -> DataLimit:
        """A connection is closed when it has passed so much more one way: half a message arrives, and then its end.

        Args:
            size_bytes: counted from now on, or from the beginning of the connection; each way by itself.
            ways: "upstream" is from the client to the server.
            connections: which.
        """
        return self._switch_on(DataLimit, ways, connections, size_bytes=size_bytes)

    def refuse(self) -> Refusal:
        """Nobody listens: who connects is refused. Connections that are open stay."""
        return self._switch_on(Refusal, "both", "new")

    def reset(self) -> int:
        """Ends all connections that are open with a reset, for both sides; returns how many."""
        return self._run(self._reset_all())

    def heal(self) -> None:
        """Switches all faults off."""
        self._call(self._heal_all)

    def _switch_on(self, kind: type[F], ways: Ways, connections: Connections, **more: Any) -> F:
        def switch_on() -> F:
            first = self._meter.read().accepted + 1 if connections == "new" else 1
            fault = kind(ways=WAYS if ways == "both" else (ways,), first=first, switch_off=self._switch_off, **more)
            self._faults.add(fault)
            self._apply()
            return fault

        return self._call(switch_on)

    def _switch_off(self, fault: Fault) -> None:
        def switch_off() -> None:
            if self._faults.remove(fault):
                self._apply()

        self._call(switch_off)

    def _heal_all(self) -> None:
        self._faults.clear()
        self._apply()

    # --- on the thread of the loop

    def _call(self, function: Callable[[], T]) -> T:
        """Its result, from the thread of the loop. A proxy that was closed has none any more."""
        if not self._thread.is_alive():
            return function()

        async def call() -> T:
            return function()

        return self._run(call())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CLOSE_S)

    def _apply(self) -> None:
        """What the faults that are on mean for what is there."""
        refused = self._faults.any(Refusal)
        if refused and self._listener is not None:
            self._stop_listening()
        elif not refused and self._listener is None and self._thread.is_alive():
            self._listen()
        for connection in self._connections:
            connection.tell()

    def _listen(self) -> None:
        self._listener = _bound(self._keeper.getsockname()[1])
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self._loop.add_reader(self._listener, self._accept)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        connection = Connection(client, self._to, self._meter.connected(), self._network)
        self._connections[connection] = None
        connection.task.add_done_callback(lambda task: self._ended(connection, task))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        del self._connections[connection]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken.append(error)

    async def _reset_all(self) -> int:
        tasks = []
        for connection in list(self._connections):
            connection.reset()
            tasks.append(connection.task)
        await _all(tasks)
        return len(tasks)

    # --- the end

    def close(self) -> None:
        """Closes all connections and the port, and ends the thread. A second call does nothing.

        Raises:
            BaseExceptionGroup: the proxy itself has failed; a mistake in it, or in the `after` of a cut.
        """
        if not self._thread.is_alive():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        self._loop.close()
        self._keeper.close()
        if self._broken:
            msg = f"{self!r} has failed"
            raise BaseExceptionGroup(msg, self._broken)

    async def _close(self) -> None:
        self._stop_listening()
        tasks = [connection.task for connection in self._connections]
        for task in tasks:
            task.cancel()
        await _all(tasks)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Returns when they have ended, and what is called at their end was called."""
    await asyncio.gather(*tasks, return_exceptions=True)


def _bound(port: int) -> socket.socket:
    """Two of these can have one port: the one that keeps it, and the one that listens."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return made
