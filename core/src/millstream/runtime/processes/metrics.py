"""Metrics of TaskManager processes in the registry of the JobManager's process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.metrics_reporter import Metric
    from millstream.runtime.metrics import MetricRegistry

_PLAIN: Final = (bool, int, float, str, type(None))

Reading = tuple[tuple[str, ...], str, Any]
"""A metric's name, kind and value: a count, what a gauge reads, or a histogram's count and latest values."""


class MetricsSender:
    """Says what has changed in a registry since the last time."""

    def __init__(self, registry: MetricRegistry) -> None:
        self._registry = registry
        self._told: dict[tuple[str, ...], Any] = {}

    def changes(self) -> bytes | None:
        """A report, or None when there is nothing to say."""
        readings = [(name, *_read(metric)) for name, metric in self._registry]
        changed = [reading for reading in readings if self._told.get(reading[0], _NEVER) != reading[2]]
        self._told.update({name: value for name, _, value in changed})
        return msgspec.msgpack.encode(changed) if changed else None


_NEVER: Final = object()


def _read(metric: Metric) -> tuple[str, Any]:
    if isinstance(metric, Counter):
        return "counter", metric.count
    if isinstance(metric, Meter):
        return "meter", metric.count
    if isinstance(metric, Histogram):
        return "histogram", (metric.count, metric.latest())
    return "gauge", _gauge(metric)


def _gauge(gauge: Gauge) -> Any:
    try:
        value = gauge.value()
    except Exception as error:  # noqa: BLE001 - a user's function; a number that cannot be had is no reason to fail
        return f"{type(error).__name__}: {error}"
    # What MessagePack cannot carry is told as text.
    if not isinstance(value, _PLAIN) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return str(value)
    return value


class MetricsMirror:
    """Keeps a registry up to date with what the processes report.

    Counts go on over the processes of all attempts, as they do in one process.
    """

    def __init__(self, registry: MetricRegistry) -> None:
        self._registry = registry
        self._reports: deque[tuple[str, bytes]] = deque()
        self._counts: dict[tuple[str, tuple[str, ...]], int] = {}
        self._gauges: dict[tuple[str, ...], Any] = {}
        self._notify: Callable[[], object] = lambda: None

    def on_report(self, notify: Callable[[], object]) -> None:
        """Calls `notify`, from any thread, when there is something for `apply`."""
        self._notify = notify

    def receive(self, task_manager: str, report: bytes) -> None:
        """Keeps a report until `apply`. Safe from any thread."""
        self._reports.append((task_manager, report))
        self._notify()

    def apply(self) -> None:
        """Takes the reports into the registry; on the thread that the registry belongs to."""
        while self._reports:
            task_manager, report = self._reports.popleft()
            for name, kind, value in _DECODER.decode(report):
                self._apply(task_manager, name, kind, value)

    def _apply(self, task_manager: str, name: tuple[str, ...], kind: str, value: Any) -> None:
        registry = self._registry
        if kind == "counter":
            registry.register(name, Counter, Counter).inc(self._more(task_manager, name, value))
        elif kind == "meter":
            registry.register(name, Meter, lambda: Meter(registry.monotonic_s)).mark(self._more(task_manager, name, value))
        elif kind == "histogram":
            count, latest = value
            more = self._more(task_manager, name, count)
            histogram = registry.register(name, Histogram, lambda: Histogram(max(1_000, len(latest))))
            for one in latest[-more:] if more else ():
                histogram.update(one)
        else:
            if name not in self._gauges:
                registry.replace(name, Gauge(self._gauge_reader(name)))
            self._gauges[name] = value

    def _gauge_reader(self, name: tuple[str, ...]) -> Callable[[], object]:
        return lambda: self._gauges[name]

    def _more(self, task_manager: str, name: tuple[str, ...], count: int) -> int:
        before = self._counts.get((task_manager, name), 0)
        self._counts[task_manager, name] = count
        return count - before


_DECODER: Final = msgspec.msgpack.Decoder(list[tuple[tuple[str, ...], str, Any]])
