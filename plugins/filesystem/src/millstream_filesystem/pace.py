"""Paced reading: no more than so many records a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from millstream.ports import Clock

_SHARE_S: Final = 0.01
"""Records are handed out for at least this long at once: at high rates one by one would cost more than the records."""

_CATCH_UP_S: Final = 1.0
"""After a pause, at most this much of it is made up for."""


class Pace:
    """Says how many records are due. Exact on average; record n comes at most 10 ms after n / rate.

    Args:
        clock: measures.
        per_second: records per second, > 0; None for as many as there are.
    """

    def __init__(self, clock: Clock, per_second: float | None) -> None:
        self._clock = clock
        self._per_second = per_second
        self._start_s: float | None = None
        self._given = 0
        self.ready_at_s: float | None = None

    def allowance(self, limit: int) -> int:
        """How many records may be read now, at most `limit`. After 0, `ready_at_s` says when to ask again."""
        self.ready_at_s = None
        rate = self._per_second
        if rate is None:
            return limit
        now_s = self._clock.monotonic_s()
        if self._start_s is None:
            self._start_s = now_s
        # The small addend: at the very moment a record becomes due, rounding must not say that it is not.
        due = int((now_s - self._start_s) * rate + 1e-6) + 1 - self._given
        share = max(1, min(limit, int(rate * _SHARE_S)))
        if due < share:
            self.ready_at_s = self._start_s + (self._given + share - 1) / rate
            return 0
        missed = due - max(share, int(rate * _CATCH_UP_S))
        if missed > 0:
            self._start_s += missed / rate
            due -= missed
        return min(due, limit)

    def count(self, records: int) -> None:
        """So many were read."""
        self._given += records
