"""Every declared crash point, alone and with a second crash during recovery, for the file sink and the SQLite ledger.

The default run takes a covering sample. `pytest -m faults` takes all cases, which is an hour's work for a small machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.ports import CRASH_POINTS
from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.harness import SinkHarness
from millstream_testkit.plan import ONLY_AFTER, PASSED_ONCE, pair_cases, recovery_cases, sample, single_cases
from millstream_testkit.sinks import RIGHT_SINKS, FileSinkHarness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

SEED = 20260
CRASH_LOOP = CrashCase((Crash("sink.commit.before", 2), Crash("recovery.after"), Crash("recovery.after"), Crash("recovery.after")))
"""A crash loop."""


def cases(harness: SinkHarness, *, full: bool) -> list[CrashCase]:
    singles, pairs = single_cases(harness), pair_cases(harness)
    if not full:
        # Each point with the files, those of sinks with the ledger as well; first, second and last pass take turns.
        points = {case.crashes[0].point for case in singles}
        if not isinstance(harness, FileSinkHarness):
            points = {point for point in points if point.startswith("sink.")}
        singles = sample([case for case in singles if case.crashes[0].point in points], len(points), SEED)
        pairs = sample(pairs, 6, SEED)
    return [*singles, *recovery_cases(harness), *pairs, CRASH_LOOP]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = metafunc.config.option.markexpr.strip() == "faults"
    if "case" in metafunc.fixturenames:
        parameters = [pytest.param(harness, case, id=f"{harness.name}: {case}") for harness in RIGHT_SINKS for case in cases(harness, full=full)]
        metafunc.parametrize(("harness", "case"), parameters)
    elif "harness" in metafunc.fixturenames:
        metafunc.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name)


def test_each_row_is_written_once_whenever_the_process_dies(harness: SinkHarness, case: CrashCase, tmp_path: Path) -> None:
    result = CrashRunner(harness, tmp_path).run(case)
    # Not every point of the recovery is passed after every first crash; what is visible must be exact all the same.
    must_reach = len(case.crashes) if case in (*recovery_cases(harness), CRASH_LOOP) else 1
    assert all(result.reached[:must_reach]), str(result)
    assert result.outcome is not Outcome.WRONG, str(result)
    assert result.left_behind == [], str(result)


def test_an_undisturbed_run_passes_every_point_that_the_sink_does_not_rule_out(harness: SinkHarness, tmp_path: Path) -> None:
    passes = CrashRunner(harness, tmp_path).count_passes(CrashCase())
    assert {name for name in CRASH_POINTS if name not in passes} == harness.not_passed | set(ONLY_AFTER)
    assert {name for name in PASSED_ONCE if passes[name] != 1} == set()
