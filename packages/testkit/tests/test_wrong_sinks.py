"""The kit's test of itself: each deliberately wrong sink is caught by a case that right sinks pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.plan import single_cases
from millstream_testkit.sinks import CommitsAtPrepareHarness, LedgerHarness, MarkerApartHarness, NoFenceHarness
from millstream_testkit.zombie import run_zombie

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]


@pytest.mark.parametrize(
    ("harness", "crash", "finding"),
    [
        (CommitsAtPrepareHarness(), Crash("sink.prepare.after", 3), "doubled"),
        (CommitsAtPrepareHarness(), Crash("checkpoint.metadata.before_rename", 2), "visible before a checkpoint covered them"),
        (MarkerApartHarness(), Crash("sink.commit.applied_no_ack", 1), "doubled"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_wrong_sink_is_caught_by_a_case_of_the_suite(harness: LedgerHarness, crash: Crash, finding: str, tmp_path: Path) -> None:
    case = CrashCase((crash,))
    assert crash.point in {other.crashes[0].point for other in single_cases(LedgerHarness())}
    result = CrashRunner(harness, tmp_path).run(case)
    assert result.outcome is Outcome.WRONG
    assert finding in str(result)


def test_a_sink_without_a_fence_is_caught_when_its_old_process_wakes_up(tmp_path: Path) -> None:
    zombie = run_zombie(NoFenceHarness(), tmp_path, Crash("sink.commit.before", 3))
    assert zombie.result.outcome is Outcome.WRONG
    assert "doubled" in str(zombie)


def test_a_case_whose_point_is_never_passed_is_reported_as_not_reached(tmp_path: Path) -> None:
    result = CrashRunner(LedgerHarness(), tmp_path).run(CrashCase((Crash("sink.prepare.mid"),)))
    assert (result.outcome, result.reached) == (Outcome.NOT_REACHED, (False,))
