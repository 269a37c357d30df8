"""Which window a record belongs to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import TimeWindow, TumblingEventTimeWindows

HOUR = 3_600_000


@settings(deadline=None)
@given(timestamp=st.integers(-(2**62), 2**62), size=st.integers(1, 10**9), data=st.data())
def test_a_window_holds_its_record_and_starts_at_a_multiple_of_its_size(timestamp: int, size: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(-size + 1, size - 1))
    start = TumblingEventTimeWindows(size, offset).start_of(timestamp)
    assert start <= timestamp < start + size
    assert (start - offset) % size == 0


@pytest.mark.parametrize(("timestamp", "start"), [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (-11, -20)])
def test_times_before_1970_floor_like_all_others(timestamp: int, start: int) -> None:
    assert TumblingEventTimeWindows(10).start_of(timestamp) == start


def test_the_old_formula_of_flink_1_7_is_not_ours() -> None:
    """`ts - (ts - offset + size) % size` with Java's remainder puts -13 into a window that begins behind it."""
    java_remainder = -((13 - 5) % 5)
    assert -13 - java_remainder == -10
    assert TumblingEventTimeWindows(5).start_of(-13) == -15


def test_an_offset_of_minus_eight_hours_makes_days_of_utc_plus_eight() -> None:
    days = TumblingEventTimeWindows.of(timedelta(days=1), offset=timedelta(hours=-8))
    assert days.offset_ms == -8 * HOUR
    assert days.start_of(16 * HOUR - 1) == -8 * HOUR
    assert days.start_of(16 * HOUR) == 16 * HOUR


def test_a_window_is_half_open_and_ends_one_ms_before_the_next() -> None:
    window = TimeWindow(10, 20)
    assert window.max_timestamp == 19
    assert window == TimeWindow(10, 20)
    assert TimeWindow(0, 10) < window
    assert len({window, TimeWindow(10, 20)}) == 1
