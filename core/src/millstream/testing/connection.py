"""A connection between two simulated TaskManagers: frames arrive in order, whenever the simulation says so."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from millstream.runtime.processes.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.ports import Random
    from millstream.runtime.processes.frames import Kind
    from millstream.testing.world import World

_QUICK_S: Final = 0.002
_SLOW_S: Final = 0.2
_FULL_S: Final = 0.01
"""A system whose buffers are full takes more after this time."""


class SimulatedConnection:
    """One end, with what `RemoteExchange` asks of one. See `millstream.runtime.processes.connection.Connection`.

    Args:
        random: shared by both ends.

    Attributes:
        peer: the other end.
        closed: this end's process is dead.
    """

    peer: SimulatedConnection

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._out: deque[Frame] = deque()
        self._arriving: deque[tuple[float, Frame]] = deque()
        self._again_s = 0.0
        self.closed = False

    def queue(self, channel: int, kind: Kind, payload: bytes) -> None:
        """Sends at the next `flush`."""
        self._out.append(Frame(channel, kind, payload))

    @property
    def has_output(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def flush(self) -> bool:
        """Sends what the system takes. True when that was something."""
        out, random, now_s = self._out, self._random, self._world.clock.now_s
        if self.peer.closed:
            out.clear()
        if not out:
            return False
        count = random.below(len(out) + 1) if random.below(8) == 0 else len(out)
        arriving = self.peer._arriving
        for _ in range(count):
            due_s = now_s + random.random() * (_SLOW_S if random.below(20) == 0 else _QUICK_S)
            arriving.append((max(due_s, arriving[-1][0] if arriving else 0.0), out.popleft()))
        self._again_s = now_s + _FULL_S
        return count > 0

    def receive(self) -> Iterator[Frame]:
        """The frames that have come."""
        arriving, now_s = self._arriving, self._world.clock.now_s
        while arriving and arriving[0][0] <= now_s:
            yield arriving.popleft()[1]

    def next_due_s(self) -> float | None:
        """When there is something to receive, or to send."""
        due = [self._arriving[0][0]] if self._arriving else []
        if self._out:
            due.append(self._again_s)
        return min(due, default=None)

    def close(self) -> None:
        """Its process is dead: what it had not handed to the system is gone."""
        self.closed = True
        self._out.clear()


def connect(world: World, one: str, other: str) -> tuple[SimulatedConnection, SimulatedConnection]:
    """Both ends of a connection between two processes."""
    random = world.random(f"connection/{one}/{other}")
    here, there = SimulatedConnection(world, random), SimulatedConnection(world, random)
    here.peer, there.peer = there, here
    return here, there
