"""The inline driver: JobManager and tasks on one thread, in turn, any parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from millstream.ports import Clock
    from millstream.runtime.job_manager import JobManager
    from millstream.runtime.task_manager import TaskManager

LONGEST_WAIT_S: Final = 60.0
"""Only a bound for a wait with nothing due: whatever happens sets the wake-up."""


class InlineDriver:
    """Gives JobManager and tasks their turns, and waits when none has anything to do.

    Args:
        wakeup: set by whoever posts mail, from any thread.
    """

    def __init__(self, clock: Clock, wakeup: Event) -> None:
        self._clock = clock
        self._wakeup = wakeup
        self.job_manager: JobManager
        self.task_manager: TaskManager

    def step(self) -> bool:
        """One turn for everybody. False when nobody had anything to do."""
        progressed = self.job_manager.run_once()
        for task in self.task_manager.tasks:
            if task.run_once():
                progressed = True
        return progressed

    def run(self, until: Callable[[], bool]) -> None:
        """Works until the condition holds, or the job is over."""
        while not until() and not self.job_manager.status.is_final:
            if not self.step():
                self.wait()

    def wait(self) -> None:
        """Sleeps until something is due or posted."""
        due = [self.job_manager.next_due_s(), *(task.next_due_s() for task in self.task_manager.tasks)]
        known = [moment for moment in due if moment is not None]
        timeout_s = min(known) - self._clock.monotonic_s() if known else LONGEST_WAIT_S
        if timeout_s > 0:
            self._clock.wait(self._wakeup, min(timeout_s, LONGEST_WAIT_S))
