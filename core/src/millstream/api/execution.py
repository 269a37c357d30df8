"""Running a job to its end on this thread: signals, progress, the garbage collector, the result."""

from __future__ import annotations

import _thread
import gc
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from millstream.errors import JobFailedError
from millstream.runtime.collector import THRESHOLDS
from millstream.runtime.job_status import JobStatus
from millstream.runtime.log import job_logging_scope
from millstream.runtime.look import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from millstream.checkpoint.savepoint import Done
    from millstream.config import Settings
    from millstream.runtime.control.server import ControlServer
    from millstream.runtime.job_report import JobReport
    from millstream.runtime.job_status import JobExecutionResult
    from millstream.runtime.launch import LocalJob


GRACE_S: Final = 1.0
"""After the second signal: how long a job may take to reach the end of its turn before it is broken off inside it."""


class Observer(Protocol):
    """Watches a job from the thread that executes it, by reports without the single subtasks."""

    interval_s: float

    def started(self, report: JobReport, settings: Settings) -> None:
        """The job is deployed."""

    def progress(self, report: JobReport) -> None:
        """Called about every `interval_s`."""

    def ended(self, report: JobReport) -> None:
        """The job is over, however."""


class Execution:
    """One run of a job.

    Attributes:
        observer: who watches every execution of this process; the command line sets it.
    """

    observer: ClassVar[Observer | None] = None

    def __init__(self, job: LocalJob, settings: Settings) -> None:
        self.job = job
        self._settings = settings
        self._signals = 0
        self._over = threading.Event()

    def run(self) -> JobExecutionResult:
        """Runs the job until it is over.

        Raises:
            JobFailedError: it failed. The cause is the exception's `__cause__`.
            KeyboardInterrupt: it was interrupted twice.
        """
        observer, job = Execution.observer, self.job
        control: ControlServer | None = None
        try:
            with self._handled_signals(), self._tuned_collector(), job_logging_scope(job.job_name):
                job.start()
                control = self._reachable()
                if observer is None:
                    job.run(self._interrupted)
                else:
                    observer.started(self._look(), self._settings)
                    job.run(self._watched(observer))
        finally:
            job.close()
            if control is not None:
                control.close(look_at(job))
            if observer is not None:
                observer.ended(self._look())
        if self._signals > 1:
            raise KeyboardInterrupt
        self.raise_failure()
        return job.result()

    def _reachable(self) -> ControlServer | None:
        """Lets commands of other terminals reach the job."""
        if not self._settings.control.enabled:
            return None
        from millstream.runtime.control.server import open_control  # sockets cost time to import, which plans and checks do without

        return open_control(self.job, self._settings.control)

    def raise_failure(self) -> None:
        """Raises JobFailedError if the job failed."""
        manager = self.job.job_manager
        if manager is not None and manager.status is JobStatus.FAILED:
            raise JobFailedError(
                job_name=self.job.job_name, cause=str(manager.error), restarts=manager.restarts, last_checkpoint=manager.last_checkpoint()
            ) from manager.error

    def stop(self, *, drain: bool = False, savepoint: str | bool = False, done: Done = lambda path, error: None) -> None:
        """Asks for the end with one more checkpoint; see `JobManager.stop`. Safe from any thread."""
        manager = self.job.job_manager
        if manager is not None:
            manager.post(lambda: manager.stop(drain=drain, savepoint=savepoint, done=done))

    def savepoint(self, target: str | None, done: Done) -> None:
        """Asks for a savepoint; see `JobManager.savepoint`. Safe from any thread."""
        manager = self.job.job_manager
        if manager is not None:
            manager.post(lambda: manager.savepoint(target, done))

    def cancel(self) -> None:
        """Asks for the end now. Safe from any thread."""
        manager = self.job.job_manager
        if manager is not None:
            manager.post(manager.cancel)

    def break_off(self) -> None:
        """Asks for the end between two turns, without a last checkpoint. Safe from any thread."""
        self._signals = 2
        self.job.wakeup.set()

    # --- signals

    def _interrupted(self) -> bool:
        return self._signals > 1

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            self._over.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 2:
            raise KeyboardInterrupt
        # On a thread of its own: this thread may hold, just where it was interrupted, the lock that waking it up takes.
        _thread.start_new_thread(self.stop if self._signals == 1 else self._break_off, ())

    def _break_off(self) -> None:
        """Ends the job between two turns; where a user function does not come back, a third signal breaks it off there.

        It is sent again: what it raises may fall into a place that swallows exceptions, such as a finalizer.
        """
        self.job.wakeup.set()
        patience_s = GRACE_S
        while not self._over.wait(patience_s):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            patience_s = 5 * GRACE_S

    # --- progress

    def _look(self) -> JobReport:
        return look_at(self.job, subtasks=False)

    def _watched(self, observer: Observer) -> Callable[[], bool]:
        clock = self.job.ports.clock
        due_s = clock.monotonic_s()
        manager = self.job.job_manager

        def look() -> bool:
            nonlocal due_s
            now_s = clock.monotonic_s()
            if now_s >= due_s:
                due_s = now_s + observer.interval_s
                observer.progress(self._look())
                if manager is not None:
                    manager.wake_at(due_s)
            return self._interrupted()

        return look

    # --- memory

    @contextmanager
    def _tuned_collector(self) -> Iterator[None]:
        """Long-lived state makes the cyclic collector the largest cost of a job, and it finds nothing there."""
        if not self._settings.execution.gc_freeze:
            yield
            return
        thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        try:
            yield
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
