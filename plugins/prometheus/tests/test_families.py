"""Metrics as Prometheus reads them, whatever they are called and hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream_prometheus.families import Families

Metrics = list[tuple[tuple[str, ...], Any]]


class Served:
    def __init__(self, metrics: Metrics, families: Families) -> None:
        self._families = families.of(metrics)

    def collect(self) -> Any:
        return self._families


def exposed(metrics: Metrics, families: Families | None = None) -> tuple[str, str]:
    """In both formats that Prometheus asks for."""
    registry = CollectorRegistry()
    registry.register(Served(metrics, families or Families()))  # type: ignore[arg-type]
    return generate_latest(registry).decode(), generate_openmetrics(registry).decode()


def samples(metrics: Metrics, families: Families | None = None) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, as a stranger parses it; the same in both formats, and none comes twice."""
    both = []
    for text, parse in zip(exposed(metrics, families), (text_string_to_metric_families, parse_openmetrics), strict=True):
        found = [((s.name, *(value for _, value in sorted(s.labels.items()))), s.value) for family in parse(text) for s in family.samples]
        assert len(dict(found)) == len(found), text
        both.append(dict(found))
    assert both[0].keys() == both[1].keys()
    return both[0]


def counted(n: int) -> Counter:
    counter = Counter()
    counter.inc(n)
    return counter


def marked(n: int) -> Meter:
    meter = Meter(lambda: 0.0)
    meter.mark(n)
    return meter


def test_each_kind_has_its_counterpart() -> None:
    histogram = Histogram()
    for value in range(1, 101):
        histogram.update(value)
    found = samples(
        [
            (("orders", "map", "0", "numRecordsIn"), counted(7)),
            (("orders", "map", "1", "numRecordsIn"), counted(8)),
            (("orders", "map", "0", "errors"), marked(2)),
            (("orders", "map", "0", "currentInputWatermark"), Gauge(lambda: 60_000)),
            (("orders", "map", "0", "open"), Gauge(lambda: True)),
            (("orders", "map", "0", "cache", "latency"), histogram),
            (("orders", "", "", "numRestarts"), Gauge(lambda: 3)),
        ]
    )
    assert {name: value for name, value in found.items() if name[0] != "millstream_operator_cache_latency"} == {
        ("millstream_operator_numRecordsIn_total", "orders", "map", "0"): 7,
        ("millstream_operator_numRecordsIn_total", "orders", "map", "1"): 8,
        ("millstream_operator_errors_total", "orders", "map", "0"): 2,
        ("millstream_operator_currentInputWatermark", "orders", "map", "0"): 60_000,
        ("millstream_operator_open", "orders", "map", "0"): 1,
        ("millstream_operator_cache_latency_count", "orders", "map", "0"): 100,
        ("millstream_job_numRestarts", "orders"): 3,
    }
    quantiles = {name[3]: value for name, value in found.items() if name[0] == "millstream_operator_cache_latency"}
    assert quantiles == {"0.5": 51, "0.75": 76, "0.95": 96, "0.98": 99, "0.99": 100, "0.999": 100}


def raising() -> object:
    raise ConnectionError("gone")


@pytest.mark.parametrize("read", [lambda: "text", lambda: None, lambda: [1], lambda: MIN_TIMESTAMP, lambda: 10**400, raising])
def test_a_gauge_without_a_number_is_left_out_and_the_others_are_shown(read: Any) -> None:
    assert samples([(("j", "o", "0", "a"), Gauge(read)), (("j", "o", "0", "b"), Gauge(lambda: 1))]) == {("millstream_operator_b", "j", "o", "0"): 1}


def test_numbers_that_are_none_and_the_end_of_event_time_are_shown() -> None:
    metrics: Metrics = [(("j", "o", str(n), "g"), Gauge(lambda v=v: v)) for n, v in enumerate((math.nan, math.inf, MAX_TIMESTAMP))]  # type: ignore[misc]
    found = list(samples(metrics).values())
    assert (math.isnan(found[0]), found[1], found[2]) == (True, math.inf, float(MAX_TIMESTAMP))


def test_a_histogram_without_values_has_a_count_only() -> None:
    assert samples([(("j", "o", "0", "h"), Histogram())]) == {("millstream_operator_h_count", "j", "o", "0"): 0}


def test_labels_hold_whatever_names_hold() -> None:
    odd = 'say "hi"\\n\n{}=, é ✓'
    assert samples([((odd, odd, "0", "n"), counted(1))]) == {("millstream_operator_n_total", odd, odd, "0"): 1}


def test_two_kinds_of_one_name_are_told_apart_always_in_the_same_way() -> None:
    families = Families()
    assert samples([(("j", "b", "0", "size"), counted(1))], families) == {("millstream_operator_size_total", "j", "b", "0"): 1}
    both: Metrics = [(("j", "a", "0", "size"), Gauge(lambda: 5)), (("j", "b", "0", "size"), counted(2))]
    expected = {("millstream_operator_size_gauge", "j", "a", "0"): 5, ("millstream_operator_size_total", "j", "b", "0"): 2}
    assert samples(both, families) == expected
    assert samples(both, families) == expected


def test_names_that_become_one_are_shown_once() -> None:
    metrics: Metrics = [(("j", "o", "0", "a-b"), counted(1)), (("j", "o", "0", "a.b"), counted(2)), (("j", "o", "0", "a", "b"), counted(3))]
    assert samples(metrics) == {("millstream_operator_a_b_total", "j", "o", "0"): 1}


KINDS = st.sampled_from([Counter, Histogram, lambda: Gauge(lambda: 1), lambda: Meter(lambda: 0.0)])
WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NAMES = st.one_of(WORD, st.sampled_from(["a", "a_total", "a_count", "a_gauge", "a_sum", "a_created", "a_info", "é", "1"]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.tuples(WORD, WORD, WORD, NAMES), KINDS), unique_by=lambda pair: pair[0], max_size=8))
def test_whatever_metrics_are_called_what_is_served_can_be_read(found: list[tuple[tuple[str, ...], Any]]) -> None:
    samples([(scope, make()) for scope, make in found])
