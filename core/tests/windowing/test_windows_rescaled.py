"""Windows whose key groups come together from subtasks with different event times: each fires once, and what was late stays late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from millstream import OutputTag, TumblingEventTimeWindows
from millstream.contracts.key_groups import KeyGroups, key_group_range
from millstream.testing import OperatorHarness

GROUPS = 8
LATE: OutputTag[Any] = OutputTag("late")
OF = KeyGroups(GROUPS)
KEYS = {subtask: next(key for key in "abcdefghijklmnop" if OF(key) in key_group_range(subtask, 2, GROUPS)) for subtask in range(2)}
"""A key of each of two subtasks."""


def windows(subtask: int, parallelism: int, restore: Any = (), lateness_ms: int = 0) -> OperatorHarness:
    def job(stream: Any) -> Any:
        window = stream.key_by(lambda r: r[0]).window(TumblingEventTimeWindows.of(timedelta(milliseconds=10)))
        return window.allowed_lateness(timedelta(milliseconds=lateness_ms)).side_output_late_data(LATE).reduce(lambda a, b: (a[0], a[1] + b[1]))

    return OperatorHarness(job, subtask=subtask, parallelism=parallelism, max_parallelism=GROUPS, restore=restore)


def two_subtasks(watermarks: tuple[int, int], lateness_ms: int) -> tuple[list[bytes], list[Any]]:
    """One record in window [0, 10) for each, then their watermarks. Their snapshots, and what they have fired."""
    saved, fired = [], []
    for subtask, watermark in enumerate(watermarks):
        with windows(subtask, 2, lateness_ms=lateness_ms) as harness:
            harness.process((KEYS[subtask], 1), 5)
            harness.watermark(watermark)
            fired += harness.values
            saved.append(harness.snapshot())
    return saved, fired


@pytest.mark.parametrize("lateness_ms", [0, 100])
@pytest.mark.parametrize("again", [False, True], ids=["one restore", "two restores"])
def test_a_window_fires_once_when_a_restore_lowers_the_watermark(lateness_ms: int, again: bool) -> None:
    saved, fired = two_subtasks((30, 4), lateness_ms)
    assert fired == [(KEYS[0], 1)]
    one = windows(0, 1, saved, lateness_ms)
    if again:
        one.watermark(6)
        saved = [one.snapshot()]
        one = windows(0, 1, saved, lateness_ms)
    one.watermark(9)
    assert one.values == [(KEYS[1], 1)]
    one.watermark(1_000)
    assert one.values == [(KEYS[1], 1)]


def test_what_was_late_for_a_key_stays_late_where_the_watermark_was_lowered() -> None:
    one = windows(0, 1, two_subtasks((30, 4), 0)[0])
    one.process_all([(KEYS[0], 7), (KEYS[1], 7)], [6, 6])
    assert one.side(LATE) == [(KEYS[0], 7)]
    one.watermark(50)
    assert one.values == [(KEYS[1], 8)]


def test_a_record_within_the_allowed_lateness_of_its_key_fires_at_once_and_not_again() -> None:
    one = windows(0, 1, two_subtasks((30, 4), 100)[0], 100)
    one.process((KEYS[0], 7), 6)
    assert one.take() == [(KEYS[0], 8)]
    one.process((KEYS[1], 7), 6)
    assert one.take() == []
    one.watermark(9)
    assert one.take() == [(KEYS[1], 8)]


def test_a_window_that_only_a_late_record_made_does_not_keep_those_of_other_keys_from_firing() -> None:
    one = windows(0, 1, two_subtasks((30, 4), 100)[0], 100)
    one.process((KEYS[0], 1), 15)
    one.process((KEYS[1], 1), 15)
    assert one.take() == [(KEYS[0], 1)]
    one.watermark(19)
    assert one.take() == [(KEYS[1], 1), (KEYS[1], 1)]


def test_where_the_watermark_has_been_reached_again_all_keys_are_alike() -> None:
    one = windows(0, 1, two_subtasks((30, 4), 0)[0])
    one.watermark(30)
    one.take()
    one.process_all([(KEYS[0], 1), (KEYS[1], 1)], [35, 35])
    one.watermark(39)
    assert sorted(one.take()) == sorted([(KEYS[0], 1), (KEYS[1], 1)])


def test_the_watermarks_of_key_groups_go_on_with_them_to_more_subtasks() -> None:
    with windows(0, 1, two_subtasks((30, 4), 100)[0], 100) as one:
        saved = [one.snapshot()]
    fired = []
    for subtask in range(4):
        with windows(subtask, 4, saved, 100) as harness:
            harness.watermark(9)
            fired += harness.values
    assert fired == [(KEYS[1], 1)]


def test_a_lateness_that_was_lowered_does_not_fire_what_had_fired() -> None:
    saved, fired = two_subtasks((30, 30), 100)
    assert len(fired) == 2
    one = windows(0, 1, saved, 0)
    one.watermark(40)
    assert one.values == []
