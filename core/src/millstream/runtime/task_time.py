"""How a subtask spends its time: busy, idle or backpressured."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.metrics import MetricGroup

WINDOW_S: Final = 5.0
"""The figures are of about so long a time, or of the time since the last look at them, whichever is longer."""

_MARK_EVERY_S: Final = 0.5

_WORKING: Final = 0
_IDLE: Final = 1
_BACKPRESSURED: Final = 2


class TaskTime:
    """Watches the turns of one subtask. While it works the clock is not read: busy is what neither of the others is.

    So a subtask whose thread does something else counts as busy while it has work: as in Flink, where the processor may do so.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._state = _IDLE
        self._since_s = monotonic_s()
        self._waited_s = [0.0, 0.0, 0.0]
        # (time, idle, backpressured) at some looks, oldest first.
        self._marks: deque[tuple[float, float, float]] = deque([(self._since_s, 0.0, 0.0)])
        self._shares = (0, 0)

    def turn_begins(self) -> float:
        """The time, if the subtask did not work until now. To be given to `worked`."""
        return self._monotonic_s() if self._state else 0.0

    def worked(self, begun_s: float) -> None:
        """The turn had something to do."""
        if self._state:
            self._waited_s[self._state] += max(0.0, begun_s - self._since_s)
            self._state = _WORKING

    def waits(self, *, backpressured: bool) -> None:
        """The turn had nothing to do, or no room for what comes of it."""
        state = _BACKPRESSURED if backpressured else _IDLE
        if state != self._state:
            now_s = self._monotonic_s()
            self._waited_s[self._state] += now_s - self._since_s
            self._since_s, self._state = now_s, state

    def register(self, metrics: MetricGroup) -> None:
        """Makes the gauges. Together they are 1,000."""
        metrics.gauge("busyTimeMsPerSecond", lambda: 1_000 - sum(self._look()))
        metrics.gauge("idleTimeMsPerSecond", lambda: self._look()[0])
        metrics.gauge("backPressuredTimeMsPerSecond", lambda: self._look()[1])

    def _look(self) -> tuple[int, int]:
        """Milliseconds per second idle and backpressured; the same to all who look within half a second."""
        now_s, marks = self._monotonic_s(), self._marks
        if now_s - marks[-1][0] >= _MARK_EVERY_S:
            waited_s = list(self._waited_s)
            if self._state:
                waited_s[self._state] += now_s - self._since_s
            while len(marks) > 1 and now_s - marks[1][0] >= WINDOW_S:
                marks.popleft()
            then_s, idle_s, backpressured_s = marks[0]
            per_second = 1_000 / (now_s - then_s)
            idle = min(1_000, round((waited_s[_IDLE] - idle_s) * per_second))
            self._shares = idle, min(1_000 - idle, round((waited_s[_BACKPRESSURED] - backpressured_s) * per_second))
            marks.append((now_s, waited_s[_IDLE], waited_s[_BACKPRESSURED]))
        return self._shares
