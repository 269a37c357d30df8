"""The four kinds of metric, with Flink's names. They are plain objects: updating one costs an attribute."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Counter:
    """Counts events."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self, n: int = 1) -> None:
        """Adds n, which may be negative."""
        self.count += n


class Gauge:
    """Reads a value when it is asked for one."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read

    def value(self) -> object:
        """The value now."""
        return self._read()


class Histogram:
    """Keeps the last `window` values (default 1,000) and gives their quantiles."""

    __slots__ = ("_values", "count")

    def __init__(self, window: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=window)
        self.count = 0

    def update(self, value: float) -> None:
        """Adds one observation."""
        self._values.append(value)
        self.count += 1

    def latest(self) -> list[float]:
        """The values that are kept, oldest first."""
        return list(self._values)

    def quantile(self, q: float) -> float | None:
        """The smallest kept value that at least a share q (0 <= q <= 1) of them does not exceed; None without values."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Meter:
    """Counts events and tells their rate since the last look."""

    __slots__ = ("_monotonic_s", "_seen", "_since_s", "count")

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._since_s = monotonic_s()
        self._seen = 0
        self.count = 0

    def mark(self, n: int = 1) -> None:
        """Adds n events."""
        self.count += n

    def rate(self) -> float:
        """Events per second since the last call of `rate`, 0.0 when no time has passed."""
        now = self._monotonic_s()
        elapsed, events = now - self._since_s, self.count - self._seen
        if elapsed <= 0:
            return 0.0
        self._since_s, self._seen = now, self.count
        return events / elapsed


class MetricGroup(Protocol):
    """Makes metrics under one scope: job, operator, subtask. Asking twice for a name gives the same metric."""

    def counter(self, name: str) -> Counter: ...

    def gauge(self, name: str, read: Callable[[], object]) -> Gauge: ...

    def histogram(self, name: str, window: int = 1000) -> Histogram: ...

    def meter(self, name: str) -> Meter: ...

    def add_group(self, name: str) -> MetricGroup: ...
