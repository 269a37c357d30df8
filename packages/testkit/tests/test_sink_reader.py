"""Whether a harness reads from outside: three readings, of which the second is by another process."""

from __future__ import annotations

import pytest

from millstream_testkit.suites.sink_reader import follow_each_other

A, B = (0, 0, 1), (1, 1, 1)


@pytest.mark.parametrize("readings", [([], [], []), ([A], [A], [A]), ([], [A], [A]), ([], [A], [A, B]), ([], [], [A])])
def test_a_target_may_show_later_what_was_sent(readings: tuple[list[tuple[int, int, int]], ...]) -> None:
    assert follow_each_other(*readings)


@pytest.mark.parametrize("readings", [([A], [], [A]), ([], [A], []), ([A, A], [A], [A, A]), ([A], [B], [A, B])])
def test_what_only_one_process_sees_is_inside(readings: tuple[list[tuple[int, int, int]], ...]) -> None:
    assert not follow_each_other(*readings)
