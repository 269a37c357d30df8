"""Metrics of Millstream as metric families of Prometheus: names, labels and kinds.

| here | there |
|---|---|
| counter `X`, meter `X` | counter `millstream_operator_X_total` |
| gauge `X` of a number or a bool | gauge `millstream_operator_X` |
| histogram `X` | summary `millstream_operator_X` with quantiles of the values that are kept, and `_count` |

Labels: `job`, `operator` and `subtask`; what belongs to a whole job is `millstream_job_X` with the label `job`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric as Family

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter
from millstream.records import MIN_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.contracts.metrics_reporter import Metric

QUANTILES: Final = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
"""Those of Flink's reporter."""

_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")


_ENDINGS: Final = {"counter": ("", "_total", "_created"), "gauge": ("",), "summary": ("", "_count", "_sum", "_created")}
"""What the samples of a kind may be called behind the name; two families may not have one in common."""


class Families:
    """Makes families of metrics. A family that would have a sample's name in common with an earlier one gets its kind as an ending, and keeps
    that name.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def of(self, metrics: Iterable[tuple[tuple[str, ...], Metric]]) -> list[Family]:
        """The families, each with a sample for each operator and subtask, read now. What is no number is left out."""
        families: dict[str, Family] = {}
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for scope, metric in metrics:
            labels, name = _place(scope)
            kind = _kind(metric)
            name = self._name(name, kind)
            identity = (name, tuple(labels.items()))
            if identity in seen:
                continue  # two names that differ only in what a name there cannot hold: the first in order is shown
            family = families.get(name) or Family(name, f"{scope[-1]} of Millstream", kind)
            if _add(family, labels, metric):
                families[name] = family
                seen.add(identity)
        return list(families.values())

    def _name(self, wanted: str, kind: str) -> str:
        name = self._names.get((wanted, kind))
        if name is None:
            name = wanted
            while self._taken & {name + ending for ending in _ENDINGS[kind]}:
                name += f"_{kind}"
            self._names[wanted, kind] = name
            self._taken |= {name + ending for ending in _ENDINGS[kind]}
        return name


def _place(scope: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Labels, and the name, which holds no character that a name may not hold."""
    job, operator, subtask, *name = scope
    of_a_job = not operator and not subtask
    labels = {"job": job} if of_a_job else {"job": job, "operator": operator, "subtask": subtask}
    text = _NOT_IN_A_NAME.sub("_", "_".join(name))
    return labels, f"millstream_{'job' if of_a_job else 'operator'}_{text}"


def _kind(metric: Metric) -> str:
    if isinstance(metric, Counter | Meter):
        return "counter"
    return "summary" if isinstance(metric, Histogram) else "gauge"


def _add(family: Family, labels: dict[str, str], metric: Metric) -> bool:
    """Whether there is anything to show."""
    if isinstance(metric, Counter | Meter):
        family.add_sample(f"{family.name}_total", labels, metric.count)
        return True
    if isinstance(metric, Histogram):
        ordered = sorted(metric.latest())
        for q in QUANTILES if ordered else ():
            family.add_sample(family.name, {**labels, "quantile": str(q)}, ordered[min(len(ordered) - 1, int(q * len(ordered)))])
        family.add_sample(f"{family.name}_count", labels, metric.count)
        return True
    value = _number(metric)
    if value is None:
        return False
    family.add_sample(family.name, labels, value)
    return True


def _number(gauge: Gauge) -> float | None:
    try:
        value = gauge.value()
        # An event time that has not begun is no number to draw.
        return float(value) if isinstance(value, int | float) and value != MIN_TIMESTAMP else None
    except Exception:  # noqa: BLE001 - a user's function, or a number too large for a float; the others are shown
        return None
