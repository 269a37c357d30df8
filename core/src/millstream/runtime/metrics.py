"""Where metrics are kept: one registry per process, one scope per job, operator and subtask."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter
from millstream.errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millstream.contracts.metrics_reporter import Metric
    from millstream.ports import Clock

M = TypeVar("M", Counter, Gauge, Histogram, Meter)


class MetricRegistry:
    """All metrics of a process by scope and name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._metrics: dict[tuple[str, ...], Metric] = {}

    def group(self, *scope: str) -> RegisteredMetrics:
        """A group under the scope, for example (job, operator, subtask)."""
        return RegisteredMetrics(self, scope)

    def register(self, identifier: tuple[str, ...], kind: type[M], make: Callable[[], M]) -> M:
        """The metric of that name, made on first use.

        Raises:
            InvalidName: the name is taken by a metric of another kind.
        """
        metric = self._metrics.get(identifier)
        if metric is None:
            metric = self._metrics[identifier] = make()
        if not isinstance(metric, kind):
            raise InvalidName(what=f"{kind.__name__.lower()}: a {type(metric).__name__.lower()} has it already", name=".".join(identifier))
        return metric

    def replace(self, identifier: tuple[str, ...], gauge: Gauge) -> Gauge:
        """A gauge in place of the one an earlier attempt left, which reads an object that is gone."""
        self.register(identifier, Gauge, lambda: gauge)
        self._metrics[identifier] = gauge
        return gauge

    def find(self, identifier: tuple[str, ...]) -> Metric | None:
        """The metric of that scope and name; None when there is none."""
        return self._metrics.get(identifier)

    def monotonic_s(self) -> float:
        """For meters."""
        return self._clock.monotonic_s()

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Metric]]:
        return iter(sorted(self._metrics.items()))

    def drop(self, *scope: str) -> None:
        """Forgets everything under the scope."""
        for identifier in [i for i in self._metrics if i[: len(scope)] == scope]:
            del self._metrics[identifier]

    def counts(self, job: str) -> dict[str, int]:
        """Counters and meters of a job, summed over subtasks: `operator.name` to count."""
        totals: dict[str, int] = {}
        for (scope_job, operator, _, *name), metric in self._metrics.items():
            if scope_job == job and isinstance(metric, Counter | Meter):
                label = ".".join([operator, *name])
                totals[label] = totals.get(label, 0) + metric.count
        return totals


class RegisteredMetrics:
    """A MetricGroup of the registry."""

    def __init__(self, registry: MetricRegistry, scope: tuple[str, ...]) -> None:
        self._registry = registry
        self._scope = scope

    def counter(self, name: str) -> Counter:
        return self._registry.register((*self._scope, name), Counter, Counter)

    def gauge(self, name: str, read: Callable[[], object]) -> Gauge:
        return self._registry.replace((*self._scope, name), Gauge(read))

    def histogram(self, name: str, window: int = 1000) -> Histogram:
        return self._registry.register((*self._scope, name), Histogram, lambda: Histogram(window))

    def meter(self, name: str) -> Meter:
        return self._registry.register((*self._scope, name), Meter, lambda: Meter(self._registry.monotonic_s))

    def add_group(self, name: str) -> RegisteredMetrics:
        return RegisteredMetrics(self._registry, (*self._scope, name))
