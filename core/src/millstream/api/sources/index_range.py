"""Every n-th index, and when each is due."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from millstream.contracts.source import Split

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARE_S: Final = 0.001
"""Records that fall due within this time are handed out together: one by one they would cost more in waking up than in work."""

_CATCH_UP_S: Final = 1.0
"""After a stall, at most this much of it is made up for."""

_ROUNDING: Final = 1e-6
"""Share of a record: at the very moment it becomes due, rounding must not say that it is not."""


class Schedule:
    """When the records of one sequence are due.

    Args:
        due_s: monotonic time of the next one.
        interval_s: seconds from one to the next, > 0.
    """

    __slots__ = ("_burst", "_interval_s", "_share", "due_s")

    def __init__(self, due_s: float, interval_s: float) -> None:
        self.due_s = due_s
        self._interval_s = interval_s
        self._burst = max(1, math.floor(_CATCH_UP_S / interval_s + _ROUNDING))
        self._share = max(1, math.floor(_SHARE_S / interval_s + _ROUNDING))

    def due(self, now_s: float, limit: int) -> int:
        """How many records are due, at most `limit` (>= 1); 0 also while less than a share is. What a stall left beyond the catch-up is
        struck off the schedule."""
        due = math.floor((now_s - self.due_s) / self._interval_s + _ROUNDING) + 1
        if due < min(self._share, limit):
            return 0
        if due > self._burst:
            self.due_s += (due - self._burst) * self._interval_s
            due = self._burst
        return min(due, limit)

    def ready_at_s(self, remaining: Callable[[int], int]) -> float:
        """When `due` will not be 0. `remaining` tells how many records are left, up to a limit."""
        return self.due_s + (remaining(self._share) - 1) * self._interval_s

    def advance(self, records: int) -> None:
        """So many were emitted."""
        self.due_s += records * self._interval_s


class IndexRange:
    """Indexes next, next + step, next + 2 step, ... below count.

    Attributes:
        next: the next index to compute; next % step numbers the sequence.
        step: how many sequences there are.
        count: the end, None for no end.
        schedule: None for as fast as it goes.
    """

    __slots__ = ("count", "next", "schedule", "split_id", "step")

    def __init__(self, next_: int, step: int, count: int | None) -> None:
        self.next = next_
        self.step = step
        self.count = count
        self.split_id = f"indexes {next_ % step} of {step}"
        self.schedule: Schedule | None = None

    @classmethod
    def from_split(cls, split: Split) -> IndexRange:
        """The range at the position that the split carries."""
        split.check_version()
        return cls(split.data["next"], split.data["step"], split.data["count"])

    def to_split(self) -> Split:
        """The range at its position."""
        return Split(self.split_id, {"next": self.next, "step": self.step, "count": self.count})

    def remaining(self, limit: int) -> int:
        """How many indexes are left, at most `limit`."""
        return limit if self.count is None else min(limit, len(range(self.next, self.count, self.step)))

    def indexes(self, limit: int) -> range:
        """The next `limit` indexes, which must be there."""
        return range(self.next, self.next + limit * self.step, self.step)

    def advance(self, records: int) -> None:
        """So many were emitted."""
        self.next += records * self.step
        if self.schedule is not None:
            self.schedule.advance(records)

    def order(self) -> float:
        """The lowest of several is to be read next."""
        return self.next if self.schedule is None else self.schedule.ready_at_s(self.remaining)
