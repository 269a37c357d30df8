"""TaskManager processes that were started together and may be connected with each other."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from millstream.runtime.processes.connection import Connection
from millstream.runtime.processes.frames import Kind
from millstream.runtime.processes.hub import WorkerProcess
from millstream.runtime.processes.start import start_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millstream.ports import Clock
    from millstream.runtime.processes.hub import ControlHub


class ProcessGroup:
    """Processes with a connection to here and one between each two of them.

    All connections are made here and inherited: none has a name or a port that somebody else could use.

    Args:
        names: of the processes.
        program: the first message to each.

    Attributes:
        workers: those that were not ended yet, by name.
    """

    def __init__(self, names: Sequence[str], hub: ControlHub, program: bytes, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self.workers: dict[str, WorkerProcess] = {}
        self._ending: list[WorkerProcess] = []
        mesh: dict[str, dict[str, socket.socket]] = {name: {} for name in names}
        try:
            for number, name in enumerate(names):
                for other in names[number + 1 :]:
                    mesh[name][other], mesh[other][name] = socket.socketpair()
                self.workers[name] = _start(name, mesh[name])
                for end in mesh.pop(name).values():
                    end.close()
        except OSError:
            for ends in mesh.values():
                for end in ends.values():
                    end.close()
            for worker in self.workers.values():
                worker.connection.close()
                worker.wait(0)
                for output in worker.outputs:
                    output.close()
            hub.close()
            raise
        for worker in self.workers.values():
            worker.connection.queue(0, Kind.SET_UP, program)
        hub.start(list(self.workers.values()))

    def send(self, name: str, kind: Kind, payload: bytes) -> None:
        """Says something to one process, unless it was ended."""
        worker = self.workers.get(name)
        if worker is not None:
            self._hub.send(worker, kind, payload)

    def tell_to_end(self, names: Iterable[str], word: Kind) -> None:
        """The last word to some of the processes."""
        for worker in [self.workers.pop(name) for name in names if name in self.workers]:
            worker.expected = True
            self._hub.send(worker, word)
            self._ending.append(worker)

    def wait_for_end(self, deadline_s: float) -> None:
        """Returns when those that were told to end are gone: by themselves until that monotonic time, or killed."""
        while self._ending:
            self._ending[-1].wait(max(0.0, deadline_s - self._clock.monotonic_s()))
            self._ending.pop()
        if not self.workers:
            self._hub.join()


def _start(name: str, peers: dict[str, socket.socket]) -> WorkerProcess:
    here, there = socket.socketpair()
    with there:
        told = {"control": there.fileno(), "peers": {peer: end.fileno() for peer, end in peers.items()}}
        try:
            process, outputs = start_process(name, "millstream.runtime.processes.worker", told, [there.fileno(), *told["peers"].values()])  # type: ignore[attr-defined]
        except OSError:
            here.close()
            raise
    return WorkerProcess(name, process, Connection(here), outputs)
