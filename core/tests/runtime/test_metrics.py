"""Metrics by scope and name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.metrics import Histogram
from millstream.errors import InvalidName
from millstream.ports import ManualClock
from millstream.runtime.metrics import MetricRegistry


def registry() -> tuple[ManualClock, MetricRegistry]:
    clock = ManualClock()
    return clock, MetricRegistry(clock)


def test_asking_twice_for_a_counter_gives_the_same() -> None:
    group = registry()[1].group("job", "map", "0")
    group.counter("seen").inc(3)
    group.counter("seen").inc()
    assert group.counter("seen").count == 4


def test_one_name_for_two_kinds_is_refused() -> None:
    group = registry()[1].group("job", "map", "0")
    group.counter("seen")
    for other in (lambda: group.gauge("seen", lambda: 1), lambda: group.histogram("seen"), lambda: group.meter("seen")):
        with pytest.raises(InvalidName, match="a counter has it already"):
            other()


def test_a_gauge_of_a_new_attempt_reads_the_new_attempt() -> None:
    group = registry()[1].group("job", "map", "0")
    group.gauge("watermark", lambda: 1)
    assert group.gauge("watermark", lambda: 2).value() == 2


def test_counts_are_sums_over_subtasks_of_one_job() -> None:
    found = registry()[1]
    for job, subtask, n in [("job", "0", 2), ("job", "1", 3), ("other", "0", 50)]:
        found.group(job, "map", subtask).counter("seen").inc(n)
        found.group(job, "map", subtask).add_group("inner").counter("odd").inc(1)
    assert found.counts("job") == {"map.seen": 5, "map.inner.odd": 2}


def test_a_meter_tells_the_rate_since_the_last_look() -> None:
    clock, found = registry()
    meter = found.group("job", "map", "0").meter("records")
    meter.mark(10)
    clock.advance(2)
    assert meter.rate() == 5.0
    assert meter.rate() == 0.0
    clock.advance(1)
    meter.mark()
    assert meter.rate() == 1.0


def test_a_dropped_scope_is_gone() -> None:
    found = registry()[1]
    found.group("job", "map", "0").counter("seen").inc()
    found.drop("job")
    assert list(found) == []


@settings(deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[int], q: float) -> None:
    histogram = Histogram(window=20)
    for value in values:
        histogram.update(value)
    kept = values[-20:]
    found = histogram.quantile(q)
    assert found in kept
    assert sum(value <= found for value in kept) >= q * len(kept)
    assert histogram.count == len(values)


def test_a_histogram_without_values_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
