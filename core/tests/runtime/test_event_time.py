"""Watermarks where they are made: per split, per batch and record, at ticks; and idleness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import TimestampAssigner, WatermarkGenerator, WatermarkStrategy
from millstream.ports import ManualClock
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream.runtime.event_time import EventTime
from millstream.runtime.operators.base import Output

TICK_S = 0.25
"""Exact as a float, so that 'more than the timeout' can be told from 'exactly'."""


class Source:
    """Event time of one subtask, driven by hand; `out` holds what it emits: lists of records, ints for watermarks, "idle", "active"."""

    def __init__(self, strategy: WatermarkStrategy[Any], splits: Sequence[str] = ("s",), start: int = MIN_TIMESTAMP) -> None:
        self.out: list[Any] = []
        self.clock = ManualClock()
        output = Output()
        output.emit_watermark = self.out.append
        output.emit_status = lambda idle: self.out.append("idle" if idle else "active")
        self.time = EventTime(strategy, output, self.clock, start, self._emit)
        for split in splits:
            self.time.add_split(split)

    def _emit(self, values: list[Any], stamps: list[int] | None, highest: int | None) -> None:
        if values:
            assert highest is None or (stamps is not None and max(stamps) <= highest)
            self.out.append(list(zip(values, stamps, strict=True)) if stamps else list(values))

    def read(self, *stamps: int, split: str = "s") -> list[Any]:
        """Records that are their own timestamps."""
        self.time.process(split, list(stamps), None)
        return self.taken()

    def ticks(self, count: int) -> list[Any]:
        for _ in range(count):
            self.clock.advance(TICK_S)
            self.time.tick()
        return self.taken()

    def taken(self) -> list[Any]:
        """What was emitted since the last look, records left out."""
        taken = [event for event in self.out if not isinstance(event, list)]
        self.out.clear()
        return taken


def own_time(value: int) -> int:
    return value


def bounded(bound_ms: int = 0, idle_ms: int | None = None) -> WatermarkStrategy[Any]:
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=bound_ms)).with_timestamp_assigner(own_time)
    return strategy if idle_ms is None else strategy.with_idleness(timedelta(milliseconds=idle_ms))


# --- generators


def test_bounded_out_of_orderness_is_the_highest_minus_the_bound_minus_one() -> None:
    source = Source(bounded(3))
    assert [source.read(10), source.read(9), source.read(5, 20, 12), source.read(21)] == [[6], [], [16], [17]]


def test_monotonous_timestamps_is_the_highest_minus_one() -> None:
    source = Source(WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(own_time))
    assert [source.read(10), source.read(10), source.read(11)] == [[9], [], [10]]


def test_records_come_before_the_watermark_they_cause() -> None:
    source = Source(bounded())
    source.time.process("s", [5, 3], None)
    assert source.out == [[(5, 5), (3, 3)], 4]


def test_negative_times_and_the_smallest_do_not_overflow() -> None:
    source = Source(bounded(1000))
    assert source.read(MIN_TIMESTAMP + 5) == []
    assert source.read(-5000) == [-6001]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=5), max_size=10), st.integers(0, 50))
def test_watermarks_rise_only_and_never_pass_a_promised_record(batches: list[list[int]], bound: int) -> None:
    source = Source(bounded(bound))
    seen: list[int] = []
    last = MIN_TIMESTAMP
    for batch in batches:
        seen += batch
        for watermark in source.read(*batch):
            assert watermark > last
            last = watermark
        assert last == max(seen) - bound - 1


class Marks(WatermarkGenerator[int]):
    """Punctuated: a multiple of 10 says that event time has come to it."""

    def on_event(self, value: int, timestamp: int, output: Any) -> None:
        if value % 10 == 0:
            output.emit_watermark(value)

    def on_periodic_emit(self, output: Any) -> None:
        pass


class Periodic(WatermarkGenerator[int]):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def on_event(self, value: int, timestamp: int, output: Any) -> None:
        pass

    def on_periodic_emit(self, output: Any) -> None:
        self.asked += 1
        output.emit_watermark(self.asked)


def punctuated(generator: Any) -> WatermarkStrategy[Any]:
    return WatermarkStrategy.for_generator(generator).with_timestamp_assigner(own_time)


def test_a_punctuated_watermark_comes_right_behind_its_record() -> None:
    source = Source(punctuated(Marks))
    source.time.process("s", [1, 10, 11, 12, 20, 20, 3], None)
    assert source.out == [[(1, 1), (10, 10)], 10, [(11, 11), (12, 12), (20, 20)], 20, [(20, 20), (3, 3)]]


def test_a_punctuated_watermark_that_goes_back_is_ignored() -> None:
    assert Source(punctuated(Marks)).read(20, 10, 30) == [20, 30]


def test_a_periodic_generator_is_asked_after_each_batch_and_at_each_tick() -> None:
    source = Source(punctuated(Periodic))
    assert source.read(5, 6, 7) == [1]
    assert source.ticks(2) == [2, 3]


def test_each_split_has_a_generator_of_its_own() -> None:
    source = Source(punctuated(Periodic), splits=["a", "b"])
    assert source.read(1, split="a") == []
    assert source.read(1, split="b") == [1]


def test_a_timestamp_assigner_sees_the_timestamp_of_the_origin() -> None:
    class Later(TimestampAssigner[str]):
        def extract_timestamp(self, value: str, record_timestamp: int | None) -> int:
            return -1 if record_timestamp is None else record_timestamp + 100

    source = Source(WatermarkStrategy.no_watermarks().with_timestamp_assigner(Later()))
    source.time.process("s", ["x", "y"], [1, 2])
    source.time.process("s", ["z"], None)
    assert source.out == [[("x", 101), ("y", 102)], [("z", -1)]]


def test_without_an_assigner_the_timestamps_of_the_origin_stay() -> None:
    source = Source(WatermarkStrategy.for_monotonous_timestamps())
    source.time.process("s", ["x"], [7])
    assert source.out == [[("x", 7)], 6]


def test_records_without_any_timestamp_pass_and_make_no_watermark() -> None:
    source = Source(WatermarkStrategy.for_monotonous_timestamps())
    source.time.process("s", ["x"], None)
    assert source.out == [["x"]]


# --- splits


def test_the_slowest_split_decides() -> None:
    source = Source(bounded(), splits=["a", "b"])
    assert [source.read(100, split="a"), source.read(10, split="b"), source.read(50, split="b")] == [[], [9], [49]]


def test_interleaved_splits_do_not_fabricate_lateness() -> None:
    """One split is far behind the other: the watermark is never beyond a record that is still to come."""
    source = Source(bounded(), splits=["fast", "slow"])
    watermark = MIN_TIMESTAMP
    for step in range(50):
        for risen in [*source.read(1000 + step, split="fast"), *source.read(step, split="slow")]:
            watermark = risen
        assert watermark <= step - 1


def test_a_split_read_to_its_end_holds_nothing_back() -> None:
    source = Source(bounded(), splits=["a", "b"])
    source.read(100, split="a")
    source.read(10, split="b")
    source.time.remove_split("b")
    assert source.taken() == [99]


def test_splits_one_after_the_other_as_files_of_a_folder() -> None:
    """A split that has ended does not hold back the one that comes after it."""
    source = Source(bounded(), splits=["file-1"])
    assert source.read(10, split="file-1") == [9]
    source.time.remove_split("file-1")
    assert source.taken() == []
    source.time.add_split("file-2")
    assert [source.read(5, split="file-2"), source.read(20, split="file-2"), source.read(30, split="file-2")] == [[], [19], [29]]
    source.time.remove_split("file-2")
    source.time.add_split("file-3")
    assert source.read(40, split="file-3") == [39]


def test_a_split_given_again_after_its_end_starts_afresh() -> None:
    source = Source(bounded(), splits=["a"])
    source.read(10, split="a")
    source.time.remove_split("a")
    source.time.add_split("b")
    source.time.add_split("a")
    source.read(20, split="b")
    assert source.read(15, split="a") == [14]


def test_the_last_split_keeps_its_watermark_when_it_ends_because_more_may_come() -> None:
    source = Source(bounded(), splits=["a"])
    source.read(10, split="a")
    source.time.remove_split("a")
    assert source.ticks(20) == []


def test_when_only_idle_splits_are_left_the_source_is_idle() -> None:
    source = Source(bounded(idle_ms=1000), splits=["quiet", "busy"])
    source.read(5, split="quiet")
    source.read(5, split="busy")
    for stamp in range(6, 20):
        source.read(stamp, split="busy")
        source.ticks(1)
    source.time.remove_split("busy")
    assert source.taken() == ["idle"]
    assert source.read(30, split="quiet") == ["active", 29]


def test_a_subtask_without_any_split_says_so_and_holds_nobody_back() -> None:
    source = Source(bounded(), splits=[])
    source.time.nothing_to_read()
    assert source.taken() == ["idle"]
    source.time.nothing_to_read()
    assert source.taken() == []
    source.time.end()
    assert source.taken() == ["active", MAX_TIMESTAMP]


def test_the_end_completes_event_time() -> None:
    source = Source(bounded())
    source.read(5)
    source.time.end()
    assert source.taken() == [MAX_TIMESTAMP]


def test_a_restored_watermark_is_not_undercut() -> None:
    source = Source(bounded(), start=100)
    assert [source.read(50), source.read(101), source.read(102)] == [[], [], [101]]


# --- idleness


def idle_after(source: Source, limit: int = 100) -> int:
    """The number of the tick at which the source went idle."""
    for tick in range(1, limit):
        if "idle" in source.ticks(1):
            return tick
    return limit


def test_idle_at_the_first_tick_more_than_the_timeout_after_the_first_that_saw_nothing_new() -> None:
    """Ticks every 250 ms, timeout 1000 ms. Tick 1 still sees the record; tick 2 sees none: the timer starts; tick 6 is exactly 1000 ms
    after it, which is not more; tick 7 is."""
    source = Source(bounded(idle_ms=1000))
    source.read(5)
    assert idle_after(source) == 7


def test_a_split_that_never_had_a_record_goes_idle_too_counted_from_the_first_tick() -> None:
    assert idle_after(Source(bounded(idle_ms=1000))) == 6


def test_any_record_starts_the_timer_anew() -> None:
    source = Source(bounded(idle_ms=1000))
    source.read(5)
    assert source.ticks(6) == []
    source.read(5)
    assert idle_after(source) == 7


def test_without_a_timeout_nothing_ever_goes_idle() -> None:
    assert idle_after(Source(bounded())) == 100


def test_an_idle_split_lets_the_others_go_on() -> None:
    source = Source(bounded(idle_ms=500), splits=["a", "b"])
    source.read(10, split="a")
    source.read(5, split="b")
    out = []
    for stamp in range(11, 30):
        out += source.read(stamp, split="a")
        out += source.ticks(1)
    assert out[-1] == 28
    assert "idle" not in out


def test_idle_is_told_once_and_waking_comes_before_the_records() -> None:
    source = Source(bounded(idle_ms=500))
    source.read(5)
    assert source.ticks(30) == ["idle"]
    source.time.process("s", [9], None)
    assert source.out == ["active", [(9, 9)], 8]


def test_a_split_that_wakes_behind_the_others_counts_when_it_has_caught_up() -> None:
    source = Source(bounded(idle_ms=500), splits=["a", "b"])
    source.read(5, split="b")
    for stamp in range(10, 30):
        source.read(stamp, split="a")
        source.ticks(1)
    assert source.time.valve.watermark == 28
    assert source.read(7, split="b") == []
    assert source.read(40, split="a") == [39]
    assert source.read(45, split="b") == []
    assert source.read(60, split="a") == [44]


def test_the_last_split_to_go_idle_flushes_what_it_held() -> None:
    source = Source(bounded(idle_ms=500), splits=["a", "b"])
    source.read(100, split="a")
    assert source.read(10, split="b") == [9]
    assert source.ticks(10) == [99, "idle"]


def test_the_timer_does_not_run_while_the_task_is_held_back() -> None:
    source = Source(bounded(idle_ms=500))
    source.read(5)
    for _ in range(30):
        source.time.held_back()
        assert source.ticks(1) == []
    assert idle_after(source) < 100


@settings(deadline=None)
@given(
    pattern=st.lists(st.booleans(), max_size=40),
    idle_ticks=st.integers(1, 5),
)
def test_idleness_follows_the_rule_of_flinks_timer(pattern: list[bool], idle_ticks: int) -> None:
    """WatermarksWithIdleness.IdlenessTimer, written down again: True is a record before the tick."""
    idle_ms = idle_ticks * 250
    source = Source(bounded(idle_ms=idle_ms))
    active_since_last = False
    started: int | None = None
    idle = False
    for tick, record in enumerate(pattern, start=1):
        if record:
            source.read(tick)
            active_since_last, idle = True, False
        source.ticks(1)
        now_ms = tick * 250
        if active_since_last:
            active_since_last, started = False, None
        elif started is None:
            started = now_ms
        elif now_ms - started > idle_ms:
            idle = True
        assert source.time.valve.idle == idle


@pytest.mark.parametrize("generator", [Marks, Periodic])
def test_generators_of_ones_own_go_idle_too(generator: Any) -> None:
    source = Source(punctuated(generator).with_idleness(timedelta(seconds=1)))
    source.read(5)
    out = source.ticks(10)
    assert out[-1] == "idle"
    assert source.ticks(3) == []
