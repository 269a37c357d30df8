"""The two ends of a channel in two processes, and the credits that keep it bounded.

A writer has CREDITS to begin with; each element costs one, and the reader gives them back as it takes elements. So whatever comes over
a connection has a place to go, a connection is always read, and a channel that is blocked (its barrier has come, those of others have
not) does not hold up the others that share its connection. Without credits a full channel would: its reader would have to stop reading
the connection, behind whose next bytes the barrier is that it waits for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from millstream.errors import RecordNotSendable
from millstream.runtime.channel import CREDITS
from millstream.runtime.processes.elements import ElementCodec, NotSendable
from millstream.runtime.processes.frames import ForeignFrames, Kind

if TYPE_CHECKING:
    from millstream.records import Element
    from millstream.runtime.processes.connection import Connection

_GIVE_BACK: Final = CREDITS // 2
"""Credits go back in portions: half of them leaves the writer with room meanwhile."""


class Sender(NamedTuple):
    """Who writes, for errors."""

    job: str
    task: str
    subtask: int


class RemoteWriter:
    """The sending end."""

    def __init__(self, channel: int, connection: Connection, codec: ElementCodec, sender: Sender) -> None:
        self._channel = channel
        self._connection = connection
        self._codec = codec
        self._sender = sender
        self._credits = CREDITS

    def put(self, element: Element) -> None:
        connection = self._connection
        sends_at_once = not connection.has_output
        try:
            for kind, payload in self._codec.encode(element):
                self._credits -= 1
                connection.queue(self._channel, kind, payload)
        except NotSendable as error:
            job, task, subtask = self._sender
            raise RecordNotSendable(record=error.record, reason=str(error), task=task, subtask=subtask, job=job) from None
        if sends_at_once:
            connection.flush()

    def has_room(self) -> bool:
        return self._credits > 0

    def give(self, count: int) -> None:
        """The reader has taken so many elements."""
        self._credits += count


class RemoteReader:
    """The receiving end. Elements wait as bytes, and are made when they are taken."""

    def __init__(self, channel: int, connection: Connection, codec: ElementCodec) -> None:
        self._channel = channel
        self._connection = connection
        self._codec = codec
        self._waiting: deque[tuple[Kind, bytes]] = deque()
        self._taken = 0

    def receive(self, kind: Kind, payload: bytes) -> None:
        """Something has come."""
        self._waiting.append((kind, payload))

    def poll(self) -> Element | None:
        if not self._waiting:
            return None
        element = self._codec.decode(*self._waiting.popleft())
        self._taken += 1
        if self._taken >= _GIVE_BACK:
            self._connection.queue(self._channel, Kind.CREDIT, self._taken.to_bytes(4, "big"))
            self._taken = 0
        return element

    def __len__(self) -> int:
        return len(self._waiting)


def credits_of(payload: bytes) -> int:
    """How many credits a frame gives back.

    Raises:
        ForeignFrames: the frame does not say so.
    """
    if len(payload) != 4:
        raise ForeignFrames(f"a frame of kind CREDIT has {len(payload)} bytes")
    return int.from_bytes(payload, "big")
