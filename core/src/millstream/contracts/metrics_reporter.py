"""Reporters: who is told the numbers, at the interval of the setting `metrics.report_interval`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter

if TYPE_CHECKING:
    from collections.abc import Iterable

Metric: TypeAlias = Counter | Gauge | Histogram | Meter


class MetricsReporter(ABC):
    """Made when a job that names it is launched, without arguments or with the text behind the colon in `metrics.reporters`. Called on the
    JobManager's thread, so it must not block.
    """

    @abstractmethod
    def report(self, metrics: Iterable[tuple[tuple[str, ...], Metric]]) -> None:
        """All metrics of the process: scope (job, operator, subtask, name) and metric. Operator and subtask are empty for a whole job."""

    def close(self) -> None:
        """The job is over."""
