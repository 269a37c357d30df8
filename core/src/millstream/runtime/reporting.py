"""Giving the numbers to reporters while a job runs."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from millstream.contracts.metrics import Counter, Gauge, Histogram
from millstream.contracts.metrics_reporter import MetricsReporter
from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from millstream.contracts.metrics_reporter import Metric
    from millstream.plugins import PluginManager
    from millstream.runtime.metrics import MetricRegistry

log = logging.getLogger(__name__)


def make_reporters(plugins: PluginManager, names: Iterable[str]) -> list[MetricsReporter]:
    """The reporters of the setting `metrics.reporters`: `name`, or `name:argument` for one that takes an argument.

    Raises:
        UnknownPlugin: there is none of that name.
        InvalidArgument: it takes no argument.
        MillstreamError: what it raises itself.
    """
    return [_make_reporter(plugins, *name.partition(":")[::2]) for name in names]


def _make_reporter(plugins: PluginManager, name: str, argument: str) -> MetricsReporter:
    factory: Callable[..., MetricsReporter] = plugins.find("metrics_reporter", name).load()
    if not argument:
        return factory()
    try:
        inspect.signature(factory).bind(argument)
    except TypeError:
        allowed = f"{name} alone: this reporter takes no argument"
        raise InvalidArgument(what="the setting metrics.reporters", value=f"{name}:{argument}", allowed=allowed) from None
    return factory(argument)


class Reporting:
    """The reporters of a job. What one of them raises is logged, and neither the job nor the others see it."""

    def __init__(self, registry: MetricRegistry, reporters: Sequence[MetricsReporter]) -> None:
        self._registry = registry
        self._reporters = list(reporters)

    def __bool__(self) -> bool:
        return bool(self._reporters)

    def report(self) -> None:
        """Tells all of them."""
        for reporter in self._reporters:
            try:
                reporter.report(self._registry)
            except Exception as error:  # noqa: BLE001 - a watcher's trouble is not the job's
                log.warning("metrics reporter %s: %s", type(reporter).__name__, error)

    def close(self) -> None:
        """A last report, and the end."""
        self.report()
        for reporter in self._reporters:
            try:
                reporter.close()
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("closing metrics reporter %s: %s", type(reporter).__name__, error)


class LogReporter(MetricsReporter):
    """The built-in reporter `log`: one line a metric, at level INFO."""

    def report(self, metrics: Iterable[tuple[tuple[str, ...], Metric]]) -> None:
        for scope, metric in metrics:
            log.info("%s = %s", ".".join(filter(None, scope)), read(metric))


def read(metric: Metric) -> object:
    """What a metric says now."""
    if isinstance(metric, Counter):
        return metric.count
    if isinstance(metric, Gauge):
        return metric.value()
    if isinstance(metric, Histogram):
        return {"count": metric.count, "p50": metric.quantile(0.5), "p99": metric.quantile(0.99)}
    return f"{metric.count} ({metric.rate():.1f}/s)"
