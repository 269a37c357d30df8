"""When a failed job is started again, and after how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.config import Settings
from millstream.ports import SeededRandom
from millstream.runtime.restart import ExponentialDelay, FailureRate, FixedDelay, NoRestart, make_restart_strategy


def delays(strategy: Any, *times_s: float) -> list[float | None]:
    """What a strategy says to different failures at these times."""
    return [strategy.delay_s(now_s, f"failure {number}") for number, now_s in enumerate(times_s)]


def exponential(limit: int | None = None, jitter: float = 0.0) -> ExponentialDelay:
    return ExponentialDelay(1.0, 2.0, 10.0, jitter, 300.0, SeededRandom(5), same_failure_limit=limit)


def test_no_restart_gives_up_at_once() -> None:
    assert delays(NoRestart(), 0) == [None]


def test_fixed_delay_never_counts_anew() -> None:
    strategy = FixedDelay(2, 5.0)
    assert delays(strategy, 0) == [5.0]
    strategy.checkpoint_completed()
    assert delays(strategy, 1e6, 2e6) == [5.0, None]


def test_failure_rate_counts_a_failure_exactly_one_interval_ago() -> None:
    assert delays(FailureRate(2, 60.0, 1.0), 0, 30, 60) == [1.0, 1.0, None]
    assert delays(FailureRate(2, 60.0, 1.0), 0, 30, 60.001) == [1.0, 1.0, 1.0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 4), st.integers(1, 30))
def test_failure_rate_gives_up_when_more_than_so_many_fall_into_the_interval(gaps: list[int], rate: int, interval: int) -> None:
    strategy, times, now = FailureRate(rate, float(interval), 1.0), list[int](), 0
    for gap in gaps:
        now += gap
        times.append(now)
        gives_up = strategy.delay_s(float(now), "f") is None
        assert gives_up == (sum(now - time <= interval for time in times) > rate)
        if gives_up:
            return


def test_exponential_delay_grows_to_its_limit_and_goes_on_for_ever() -> None:
    assert delays(exponential(), *range(7)) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


def test_exponential_delay_starts_again_after_a_quiet_time() -> None:
    assert delays(exponential(), 0, 10, 20, 319.9, 620) == [1.0, 2.0, 4.0, 8.0, 1.0]


def test_jitter_stays_within_its_share_and_differs() -> None:
    strategy = exponential(jitter=0.1)
    first, second, third = delays(strategy, 0, 1, 2)
    assert first is not None and second is not None and third is not None  # noqa: PT018
    assert 0.9 <= first <= 1.1
    assert 1.8 <= second <= 2.2
    assert 3.6 <= third <= 4.4
    assert len({first, second / 2, third / 4}) == 3


def test_the_same_failure_so_often_without_progress_is_taken_for_a_bug() -> None:
    strategy = exponential(limit=3)
    assert [strategy.delay_s(t, "same") for t in (0.0, 1.0, 2.0)] == [1.0, 2.0, None]


def test_another_failure_or_a_checkpoint_in_between_is_progress() -> None:
    strategy = exponential(limit=3)
    same = [strategy.delay_s(0, "same"), strategy.delay_s(1, "same"), strategy.delay_s(2, "other"), strategy.delay_s(3, "same")]
    assert None not in same
    assert strategy.delay_s(4, "same") is not None
    strategy.checkpoint_completed()
    assert strategy.delay_s(5, "same") is not None
    assert strategy.delay_s(6, "same") is not None
    assert strategy.delay_s(7, "same") is None


@pytest.mark.parametrize(("checkpointing", "kind"), [(True, ExponentialDelay), (False, NoRestart)])
def test_without_a_word_it_is_exponential_with_checkpoints_and_none_without(checkpointing: bool, kind: type) -> None:
    strategy = make_restart_strategy(Settings.resolve().settings.restart, checkpointing=checkpointing, random=SeededRandom(1))
    assert isinstance(strategy, kind)


@pytest.mark.parametrize(
    ("options", "kind", "first"),
    [
        (RestartStrategies.no_restart(), NoRestart, None),
        (RestartStrategies.fixed_delay(3, timedelta(seconds=10)), FixedDelay, 10.0),
        (RestartStrategies.failure_rate(3, timedelta(minutes=5), timedelta(seconds=4)), FailureRate, 4.0),
        (RestartStrategies.exponential_delay(timedelta(seconds=2), timedelta(seconds=9), 2.0, timedelta(minutes=1), 0.0), ExponentialDelay, 2.0),
    ],
)
def test_what_the_program_asks_for_is_what_it_gets(options: Any, kind: type, first: float | None) -> None:
    settings = StreamExecutionEnvironment().set_restart_strategy(options).settings()
    strategy = make_restart_strategy(settings.restart, checkpointing=False, random=SeededRandom(1))
    assert isinstance(strategy, kind)
    assert strategy.delay_s(0.0, "f") == first


def test_exponential_delay_by_name_never_gives_up() -> None:
    options = RestartStrategies.exponential_delay(timedelta(seconds=1), timedelta(seconds=9), 2.0, timedelta(minutes=1), 0.0)
    settings = StreamExecutionEnvironment().set_restart_strategy(options).settings()
    strategy = make_restart_strategy(settings.restart, checkpointing=True, random=SeededRandom(1))
    assert None not in [strategy.delay_s(float(t), "same") for t in range(20)]
