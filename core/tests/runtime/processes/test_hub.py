"""How the JobManager's end looks after its TaskManager processes."""

from __future__ import annotations

import signal
import socket
from threading import Event
from typing import Any

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.ports import SystemClock
from millstream.runtime.processes.connection import Connection
from millstream.runtime.processes.frames import FrameReader, Kind, header
from millstream.runtime.processes.hub import ControlHub, WorkerProcess

SILENCE_S = 0.1
PINGS = 5


class Process:
    """A process that can only be killed: its end of the connection closes then."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            self.returncode = -signal.SIGKILL
            self._end.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> int:
        assert self.returncode is not None
        return self.returncode


def test_a_process_that_starts_slowly_is_waited_for_and_one_that_falls_silent_later_is_given_up() -> None:
    here, there = socket.socketpair()
    process: Any = Process(there)
    lost, over = [], Event()
    blocked: set[signal.Signals] = set()

    def note(name: str, reason: str) -> None:
        lost.append((name, reason))
        blocked.update(signal.pthread_sigmask(signal.SIG_BLOCK, ()))  # type: ignore[arg-type]
        over.set()

    hub = ControlHub(SystemClock(), EphemeralStore(), lambda payload: None, lambda name, report: None, note, SILENCE_S)
    hub.start([WorkerProcess("worker", process, Connection(here))])
    there.settimeout(20)
    reader, pings = FrameReader(), 0
    while pings < 4 * PINGS:  # asked for in four times the timeout
        pings += len(list(reader.feed(there.recv(1 << 16))))
    assert process.returncode is None
    there.sendall(header(0, Kind.PONG, 0))
    assert over.wait(20)
    assert lost == [("worker", "it gave no sign of life for 0.1 s (execution.heartbeat_timeout)")]
    hub.join()
    assert {signal.SIGINT, signal.SIGTERM} <= blocked, "they are for the main thread"
    there.close()
