"""Work that may block: uploads, and connectors that wait for a server."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeVar

from millstream.ports.signals import leave_signals_to_the_main_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Executor(Protocol):
    """Runs functions away from the mailbox loop and reports through callbacks."""

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Runs `work` some time later, then calls `done(result, error)` exactly once, from any thread.

        `done` must only post mail: it does not run on the mailbox thread.
        """

    def close(self) -> None:
        """Waits for running work; what has not started is dropped."""


def run_and_report(work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
    """Runs `work` and hands its outcome, whatever it is, to `done`."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - the outcome belongs to the caller, who raises it on its own thread
        done(None, error)
    else:
        done(result, None)


class InlineExecutor:
    """Runs the work at once, in the caller's thread."""

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        run_and_report(work, done)

    def close(self) -> None:
        """Nothing runs in the background."""


class ThreadExecutor:
    """A few daemon threads, started on first use and stopped by `close`.

    Args:
        threads: how many pieces of work may run at once, >= 1.
    """

    def __init__(self, threads: int = 2) -> None:
        self._limit = threads
        self._queue: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        with self._ready:
            if self._closed:
                msg = "the executor is closed"
                raise RuntimeError(msg)
            self._queue.append(lambda: run_and_report(work, done))
            if self._idle == 0 and len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name=f"millstream-io-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._ready.notify()

    def _work(self) -> None:
        leave_signals_to_the_main_thread()
        while True:
            with self._ready:
                self._idle += 1
                while not self._queue and not self._closed:
                    self._ready.wait()
                self._idle -= 1
                if self._closed:
                    return
                task = self._queue.popleft()
            task()

    def close(self, wait_s: float | None = None) -> None:
        """As the port says.

        Args:
            wait_s: how long to wait for each thread, >= 0; None for as long as it takes. One that still works then ends behind that work.
        """
        with self._ready:
            self._closed = True
            self._queue.clear()
            self._ready.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(wait_s)
