"""The TaskManager's end of its connection with the JobManager: a thread that listens, whatever the tasks are doing.

It answers signs of life, hands on what is said, and ends the process when the other end is gone.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from millstream.runtime import user_code
from millstream.runtime.processes.frames import Frame, FrameReader, Kind, header

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_READ: Final = 1 << 18

ORPHANED: Final = 3
"""Exit code of a process whose JobManager is gone."""


class ControlLink:
    """Messages from and to the JobManager.

    Args:
        wake: called when `inbox` has something; from the listening thread.

    Attributes:
        inbox: what has come and was not taken yet.
    """

    def __init__(self, sock: socket.socket, wake: Callable[[], None]) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._wake = wake
        self._sending = threading.Lock()
        self._numbers = count(1)
        self._answers: dict[int, tuple[threading.Event, list[Any]]] = {}
        self.inbox: deque[Frame] = deque()

    def start(self) -> None:
        """Begins to listen."""
        threading.Thread(target=self._listen, name="millstream-control", daemon=True).start()

    def send(self, kind: Kind, payload: bytes, channel: int = 0) -> None:
        """Says something; waits while the other end does not take it. Safe from any thread."""
        with self._sending:
            try:
                self._socket.sendall(header(channel, kind, len(payload)) + payload)
            except OSError:
                os._exit(ORPHANED)

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the JobManager's checkpoint store gives. Raises what it raises."""
        number = next(self._numbers)
        arrived, answer = self._answers[number] = threading.Event(), []
        self.send(Kind.STORE, user_code.dumps((method, arguments)), number)
        arrived.wait()
        del self._answers[number]
        value, error = answer[0]
        if error is not None:
            raise error
        return value

    def _listen(self) -> None:
        reader = FrameReader()
        try:
            while data := self._socket.recv(_READ):
                for frame in reader.feed(data):
                    self._take(frame)
        finally:
            # Whatever the tasks are at: nobody would ever hear of it. No process outlives its job.
            os._exit(ORPHANED)

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.PING:
            self.send(Kind.PONG, b"")
        elif frame.kind is Kind.ANSWER:
            arrived, answer = self._answers[frame.channel]
            answer.append(user_code.loads(frame.payload))
            arrived.set()
        else:
            self.inbox.append(frame)
            self._wake()
