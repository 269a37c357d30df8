"""The merging of watermarks, against Flink's StatusWatermarkValve written down a second time, and row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream.runtime.watermarks import WatermarkValve


@dataclass
class Channel:
    watermark: int = MIN_TIMESTAMP
    active: bool = True
    aligned: bool = True


class Flink:
    """StatusWatermarkValve of Flink 1.20 (org.apache.flink.streaming.runtime.watermarkstatus), in plain Python.

    Emits into `out`: ints are watermarks, "idle" and "active" statuses.
    """

    def __init__(self, channels: int) -> None:
        self.channels = [Channel() for _ in range(channels)]
        self.last_output = MIN_TIMESTAMP
        self.active = True
        self.out: list[Any] = []

    def input_watermark(self, index: int, watermark: int) -> None:
        channel = self.channels[index]
        if self.active and channel.active and watermark > channel.watermark:
            channel.watermark = watermark
            if not channel.aligned and watermark >= self.last_output:
                channel.aligned = True
            self.output_new_minimum()

    def input_status(self, index: int, idle: bool) -> None:
        channel = self.channels[index]
        if idle and channel.active:
            channel.active = channel.aligned = False
            if not any(other.active for other in self.channels):
                if channel.watermark == self.last_output:
                    self.output_maximum()
                self.active = False
                self.out.append("idle")
            elif channel.watermark == self.last_output:
                self.output_new_minimum()
        elif not idle and not channel.active:
            channel.active = True
            if channel.watermark >= self.last_output:
                channel.aligned = True
            if not self.active:
                self.active = True
                self.out.append("active")

    def output_new_minimum(self) -> None:
        aligned = [channel.watermark for channel in self.channels if channel.aligned]
        if aligned and min(aligned) > self.last_output:
            self.last_output = min(aligned)
            self.out.append(self.last_output)

    def output_maximum(self) -> None:
        highest = max(channel.watermark for channel in self.channels)
        if highest > self.last_output:
            self.last_output = highest
            self.out.append(highest)


class Ours:
    """The valve, driven as a task does it."""

    def __init__(self, channels: int, start: int = MIN_TIMESTAMP) -> None:
        self.valve: WatermarkValve[int] = WatermarkValve(list(range(channels)), start)
        self.out: list[Any] = []

    def watermark(self, index: int, watermark: int) -> None:
        self._put_out(self.valve.advance(index, watermark))

    def status(self, index: int, idle: bool) -> None:
        before = self.valve.idle
        if idle:
            self._put_out(self.valve.mark_idle(index))
        else:
            self.valve.mark_active(index)
        if self.valve.idle != before:
            self.out.append("idle" if self.valve.idle else "active")

    def _put_out(self, risen: int | None) -> None:
        if risen is not None:
            self.out.append(risen)


TIMES = st.one_of(st.integers(-5, 20), st.sampled_from([MIN_TIMESTAMP, MAX_TIMESTAMP]))
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.one_of(TIMES, st.sampled_from(["idle", "active"]))), max_size=40)


@settings(max_examples=400, deadline=None)
@given(channels=st.integers(1, 4), events=EVENTS)
def test_any_sequence_of_watermarks_and_statuses_gives_what_flink_gives(channels: int, events: list[Any]) -> None:
    flink, ours = Flink(channels), Ours(channels)
    for index, event in events:
        if index >= channels:
            continue
        if isinstance(event, int):
            flink.input_watermark(index, event)
            ours.watermark(index, event)
        else:
            flink.input_status(index, event == "idle")
            ours.status(index, event == "idle")
        assert ours.out == flink.out
        assert ours.valve.watermark == flink.last_output
        assert ours.valve.idle == (not flink.active)


def driven(channels: int, *events: tuple[int, Any], start: int = MIN_TIMESTAMP) -> list[Any]:
    ours = Ours(channels, start)
    for index, event in events:
        if isinstance(event, int):
            ours.watermark(index, event)
        else:
            ours.status(index, event == "idle")
    return ours.out


def test_the_output_is_the_minimum_and_waits_for_every_channel() -> None:
    assert driven(2, (0, 10), (1, 5), (1, 20), (0, 30)) == [5, 10, 20]


def test_a_regressing_watermark_is_ignored() -> None:
    assert driven(1, (0, 10), (0, 5), (0, 10), (0, 11)) == [10, 11]


def test_watermarks_of_an_idle_channel_are_ignored() -> None:
    assert driven(2, (0, 10), (1, 5), (1, "idle"), (1, 50), (0, 20)) == [5, 10, 20]


def test_a_channel_that_goes_idle_holds_nothing_back() -> None:
    assert driven(2, (0, 10), (1, "idle")) == [10]


def test_a_channel_that_wakes_behind_counts_only_when_it_has_caught_up() -> None:
    woken = [(0, 10), (1, 5), (1, "idle"), (0, 20), (1, "active")]
    assert driven(2, *woken, (0, 30)) == [5, 10, 20, 30]
    assert driven(2, *woken, (1, 19), (0, 30)) == [5, 10, 20, 30]
    assert driven(2, *woken, (1, 20), (0, 30), (1, 25)) == [5, 10, 20, 25]


def test_a_channel_that_wakes_at_the_output_counts_at_once() -> None:
    assert driven(2, (0, 10), (1, 10), (1, "idle"), (1, "active"), (0, 30), (1, 20)) == [10, 20]


def test_when_the_last_active_channel_held_the_output_the_maximum_is_flushed_before_idle() -> None:
    assert driven(2, (0, 30), (1, 10), (0, "idle"), (1, "idle")) == [10, 30, "idle"]


def test_when_the_last_active_channel_was_ahead_of_the_output_nothing_is_flushed() -> None:
    assert driven(2, (0, 30), (1, 10), (1, "idle"), (0, 40), (1, "active"), (1, "idle"), (0, "idle")) == [10, 30, 40, "idle"]
    assert driven(3, (0, 50), (1, 10), (2, 20), (0, "idle"), (1, "idle"), (2, "idle")) == [10, 20, 50, "idle"]


def test_after_a_flush_a_woken_channel_waits_until_it_reaches_what_was_flushed() -> None:
    events = [(0, 30), (1, 10), (0, "idle"), (1, "idle"), (1, "active"), (1, 20), (1, 31)]
    assert driven(2, *events) == [10, 30, "idle", "active", 31]


def test_idle_twice_and_active_twice_are_told_once() -> None:
    assert driven(1, (0, "idle"), (0, "idle"), (0, "active"), (0, "active")) == ["idle", "active"]


# --- with a restored watermark


def test_a_restored_watermark_is_not_put_out_again_and_never_undercut() -> None:
    assert driven(2, (0, 90), (1, 95), (0, 100), (1, 100), (0, 101), (1, 105), start=100) == [101]


def test_a_channel_behind_the_restored_watermark_holds_the_output() -> None:
    assert driven(2, (0, 150), (1, 90), (1, 120), start=100) == [120]


def test_the_flush_works_from_a_restored_watermark_as_from_the_beginning() -> None:
    """The silent channel held the output, so going idle it lets the other one's watermark through."""
    assert driven(2, (0, 150), (0, "idle"), (1, "idle")) == [150, "idle"]
    assert driven(2, (0, 150), (0, "idle"), (1, "idle"), start=100) == [150, "idle"]
    assert driven(2, (0, 150), (1, "idle"), start=100) == [150]


# --- inputs that come and go: the splits of a source


def test_a_new_input_holds_the_output_where_it_is() -> None:
    valve: WatermarkValve[str] = WatermarkValve(["a"])
    assert valve.advance("a", 10) == 10
    valve.add("b")
    assert valve.advance("a", 20) is None
    assert valve.advance("b", 5) is None
    assert valve.advance("b", 15) == 15
    assert valve.watermark == 15


def test_an_input_that_is_gone_holds_nothing_back() -> None:
    valve: WatermarkValve[str] = WatermarkValve(["a", "b"])
    valve.advance("a", 20)
    valve.advance("b", 10)
    assert valve.remove("b") == 20


def test_when_the_last_active_input_goes_only_idle_ones_are_left() -> None:
    valve: WatermarkValve[str] = WatermarkValve(["a", "b"])
    valve.advance("a", 30)
    valve.advance("b", 10)
    assert valve.mark_idle("a") is None
    assert valve.remove("b") == 30
    assert valve.idle


def test_removing_an_idle_input_changes_nothing() -> None:
    valve: WatermarkValve[str] = WatermarkValve(["a", "b"])
    valve.advance("a", 30)
    assert valve.mark_idle("b") == 30
    assert valve.remove("b") is None
    assert not valve.idle
    assert valve.advance("a", 31) == 31


@pytest.mark.parametrize("idle", [False, True])
def test_a_new_input_wakes_an_idle_valve(idle: bool) -> None:
    valve: WatermarkValve[str] = WatermarkValve(["a"])
    if idle:
        valve.mark_idle("a")
    valve.add("b")
    assert not valve.idle
    assert valve.is_idle("a") == idle
