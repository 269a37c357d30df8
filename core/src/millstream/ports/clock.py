"""Time, as the engine is allowed to see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from threading import Event


class Clock(Protocol):
    """Reads time and waits for it."""

    def now_ms(self) -> int:
        """Wall-clock time in ms since the epoch, UTC. May jump; use it for timestamps that people or other systems read."""

    def monotonic_s(self) -> float:
        """Seconds that never go back. Use it for timeouts, pauses and rates."""

    def wait(self, wakeup: Event, timeout_s: float) -> None:
        """Returns when `wakeup` is set or `timeout_s` (>= 0) has passed; clears the event."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, wakeup: Event, timeout_s: float) -> None:
        wakeup.wait(timeout_s)
        wakeup.clear()


class ManualClock:
    """A clock that moves when told to, and when somebody waits for it.

    A wait moves the clock by its whole timeout at once unless the event is set already: with nothing left to do, virtual time
    passes in no real time.
    """

    def __init__(self, start_ms: int = 0) -> None:
        self._now_s = start_ms / 1000

    def now_ms(self) -> int:
        return round(self._now_s * 1000)

    def monotonic_s(self) -> float:
        return self._now_s

    def wait(self, wakeup: Event, timeout_s: float) -> None:
        if not wakeup.is_set():
            self.advance(timeout_s)
        wakeup.clear()

    def advance(self, seconds: float) -> None:
        """Moves the clock forward by `seconds` (>= 0)."""
        if seconds < 0:
            msg = f"a clock cannot go back by {-seconds} s"
            raise ValueError(msg)
        self._now_s += seconds
