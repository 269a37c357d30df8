from __future__ import annotations

from millstream_testkit.case import LAST, Crash
from millstream_testkit.demands import Sampling
from millstream_testkit.plan import crash_cases, never_passed, second_crash_cases, single_cases
from millstream_testkit.sinks import FileSinkHarness, LedgerHarness, PlainFileSinkHarness


def test_every_case_is_run_when_all_are_asked_for_first_second_and_last_pass() -> None:
    harness = FileSinkHarness()
    full = crash_cases(harness, Sampling(full=True))
    assert full == single_cases(harness)
    assert {case.crashes[0] for case in full if case.crashes[0].point == "sink.commit.before"} == {
        Crash("sink.commit.before", occurrence) for occurrence in (1, 2, LAST)
    }


def test_a_sample_has_each_point_of_sinks_once_and_is_the_same_for_the_same_seed() -> None:
    sampled = crash_cases(FileSinkHarness(), Sampling(seed=5))
    points = [case.crashes[0].point for case in sampled]
    assert len(points) == len(set(points))
    assert {"sink.prepare.after", "sink.commit.after", "checkpoint.durable.before_notify", "end.after_final_checkpoint"} <= set(points)
    assert sampled == crash_cases(FileSinkHarness(), Sampling(seed=5))
    assert sampled != crash_cases(FileSinkHarness(), Sampling(seed=6))


def test_points_that_a_kind_has_no_moment_for_are_left_out() -> None:
    assert "sink.prepare.mid" in never_passed(LedgerHarness())
    assert "sink.prepare.mid" not in never_passed(FileSinkHarness())
    plain = never_passed(PlainFileSinkHarness())
    assert "sink.commit.before" in plain
    assert "sink.write.mid_epoch" not in plain
    assert second_crash_cases(PlainFileSinkHarness(), Sampling())
