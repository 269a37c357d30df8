"""The JobManager's ends of the connections with its TaskManager processes: a thread that listens to all of them, and looks after them."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from millstream.ports.signals import leave_signals_to_the_main_thread
from millstream.runtime import user_code
from millstream.runtime.processes.asked_store import ASKED
from millstream.runtime.processes.frames import ForeignFrames, Kind
from millstream.runtime.processes.wakeup import Wakeup

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.ports import Clock
    from millstream.runtime.processes.connection import Connection
    from millstream.runtime.processes.frames import Frame
    from millstream.runtime.processes.output import ForwardedOutput
    from millstream.runtime.processes.wakeup import Waited

_END_S: Final = 5.0
"""From the end of a process's connection to the end of the process; then it is killed."""

_PINGS: Final = 5
"""Signs of life asked for within the time after which a process without one is given up."""


START_S: Final = 60.0
"""How long a process may take to its first sign of life, at least: to start an interpreter takes what a busy machine makes of it."""


@dataclass(eq=False)
class WorkerProcess:
    """A TaskManager process, as its JobManager sees it.

    Attributes:
        outputs: what it writes and this process hands on.
        expected: it was told to end, so that its end is no loss.
        said: why it ends, in its own words.
        heard_s: when it gave the last sign of life, or was started.
        heard: it has given one.
    """

    name: str
    process: subprocess.Popen[bytes]
    connection: Connection
    outputs: tuple[ForwardedOutput, ...] = ()
    expected: bool = False
    said: str = ""
    heard_s: float = 0.0
    heard: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, timeout_s: float) -> None:
        """Returns when the process is gone: by itself within that time, or killed."""
        with self._lock:
            try:
                self.process.wait(timeout_s)
            except Exception:  # noqa: BLE001 - out of time, or interrupted: in any case it has to be gone
                self.process.kill()
                self.process.wait()

    def end(self) -> str:
        """What is known of an end that nobody asked for: without numbers that differ each time."""
        code = self.process.returncode
        if self.said:
            return self.said
        if code is not None and code < 0:
            return f"its process was killed by {_name(-code)}"
        return f"its process ended with exit code {code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of those without a name
        return f"signal {number}"


class ControlHub:
    """Talks with all processes of an attempt.

    Args:
        store: the checkpoints that a process may ask for.
        deliver: takes messages of tasks, from the hub's thread.
        metrics: takes reports of metrics, by process; likewise.
        lost: takes name and end of a process that was not expected to end; likewise.
        silence_s: a process that gives no sign of life for so long is killed.
    """

    def __init__(
        self,
        clock: Clock,
        store: CheckpointStore,
        deliver: Callable[[bytes], None],
        metrics: Callable[[str, bytes], None],
        lost: Callable[[str, str], None],
        silence_s: float,
    ) -> None:
        self._clock = clock
        self._store = store
        self._deliver = deliver
        self._metrics = metrics
        self._lost = lost
        self._silence_s = silence_s
        self._wakeup = Wakeup()
        self._workers: list[WorkerProcess] = []
        self._thread = threading.Thread(target=self._run, name="millstream-hub", daemon=True)

    def start(self, workers: Sequence[WorkerProcess]) -> None:
        """Begins to listen; ends by itself when all processes have ended."""
        self._workers = list(workers)
        for worker in self._workers:
            worker.heard_s = self._clock.monotonic_s()
        self._thread.start()

    def send(self, worker: WorkerProcess, kind: Kind, payload: bytes = b"", channel: int = 0) -> None:
        """Says something to a process, without waiting. Safe from any thread."""
        worker.connection.queue(channel, kind, payload)
        self._wakeup.wake()

    def close(self) -> None:
        """Instead of `start`: there is nobody to talk with."""
        self._wakeup.close()

    def join(self) -> None:
        """Returns when all processes have ended and what they said was handed on."""
        if self._thread.is_alive():
            self._thread.join()

    # --- the thread

    def _run(self) -> None:
        leave_signals_to_the_main_thread()
        period_s = self._silence_s / _PINGS
        woken_s = ping_s = self._clock.monotonic_s()
        while self._workers:
            ends: list[Waited] = [worker.connection for worker in self._workers]
            ends += [output for worker in self._workers for output in worker.outputs]
            self._wakeup.wait(ends, min(period_s, ping_s - self._clock.monotonic_s()))
            now_s = self._clock.monotonic_s()
            if now_s - woken_s > 2 * period_s:  # this process stood still; the others may have answered all the same
                for worker in self._workers:
                    worker.heard_s = now_s
            woken_s = now_s
            for worker in self._workers:
                for output in worker.outputs:
                    output.forward()
                self._listen(worker)
                worker.connection.flush()
            if now_s >= ping_s:
                ping_s = now_s + period_s
                for worker in self._workers:
                    self._look_after(worker, now_s)
            for worker in [worker for worker in self._workers if worker.connection.closed]:
                self._workers.remove(worker)
                self._ended(worker)
        self._wakeup.close()

    def _listen(self, worker: WorkerProcess) -> None:
        try:
            for frame in worker.connection.receive():
                worker.heard_s, worker.heard = self._clock.monotonic_s(), True
                self._take(worker, frame)
        except ForeignFrames:
            worker.connection.close()
        except Exception as error:  # noqa: BLE001 - a message that cannot be read here: of a class that only the other process has
            worker.said = worker.said or f"what it said could not be read: {type(error).__name__}: {error}"
            worker.connection.close()

    def _take(self, worker: WorkerProcess, frame: Frame) -> None:
        if frame.kind is Kind.MESSAGE:
            self._deliver(frame.payload)
        elif frame.kind is Kind.METRICS:
            self._metrics(worker.name, frame.payload)
        elif frame.kind is Kind.BROKEN:
            worker.said = frame.payload.decode("utf-8", "replace")
        elif frame.kind is Kind.STORE:
            worker.connection.queue(frame.channel, Kind.ANSWER, self._answer(frame.payload))

    def _answer(self, payload: bytes) -> bytes:
        try:
            method, arguments = user_code.loads(payload)
            if method not in ASKED:
                msg = f"a checkpoint store is not asked for {method}"
                raise AttributeError(msg)
            return user_code.dumps((getattr(self._store, method)(*arguments), None))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            return user_code.dumps((None, error))

    def _look_after(self, worker: WorkerProcess, now_s: float) -> None:
        silence_s = self._silence_s if worker.heard else max(self._silence_s, START_S)
        if now_s - worker.heard_s > silence_s and not worker.expected:
            worker.said = f"it gave no sign of life for {silence_s:g} s (execution.heartbeat_timeout)"
            worker.process.kill()
        elif not worker.connection.closed:
            worker.connection.queue(0, Kind.PING, b"")
            worker.connection.flush()

    def _ended(self, worker: WorkerProcess) -> None:
        worker.wait(_END_S)
        for output in worker.outputs:
            output.forward()
            output.close()
        if not worker.expected:
            self._lost(worker.name, worker.end())
