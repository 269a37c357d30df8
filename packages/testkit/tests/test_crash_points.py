"""The engine's own crash points: what a sink's suite does not pass, and what the kit says about who passes what."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream.ports import CRASH_POINTS
from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.demands import Sampling
from millstream_testkit.harness import SinkHarness
from millstream_testkit.plan import ONLY_AFTER, PASSED_ONCE, crash_cases, never_passed, sample, single_cases
from millstream_testkit.sinks import RIGHT_SINKS, FileSinkHarness, LedgerHarness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]


def engine_cases() -> list[CrashCase]:
    """Points that the sample of the sinks' suite leaves out, each once; first, second and last pass take turns."""
    sampled = {case.crashes[0].point for case in crash_cases(FileSinkHarness(), Sampling())}
    rest = [case for case in single_cases(FileSinkHarness()) if case.crashes[0].point not in sampled]
    return sample(rest, len({case.crashes[0].point for case in rest}), Sampling.seed)


@pytest.mark.parametrize("case", engine_cases(), ids=str)
def test_each_row_is_written_once_whenever_the_engine_dies(case: CrashCase, tmp_path: Path) -> None:
    result = CrashRunner(FileSinkHarness(), tmp_path).run(case)
    assert (result.outcome, result.left_behind) == (Outcome.EXACT, []), str(result)


@pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name)
def test_an_undisturbed_run_passes_every_point_that_the_sink_does_not_rule_out(harness: SinkHarness, tmp_path: Path) -> None:
    passes = CrashRunner(harness, tmp_path).count_passes(CrashCase())
    assert {name for name in CRASH_POINTS if name not in passes} == never_passed(harness) | set(ONLY_AFTER)
    assert {name for name in PASSED_ONCE if passes[name] != 1} == set()


def test_a_case_whose_point_is_never_passed_is_reported_as_not_reached(tmp_path: Path) -> None:
    result = CrashRunner(LedgerHarness(), tmp_path).run(CrashCase((Crash("sink.prepare.mid"),)))
    assert (result.outcome, result.reached) == (Outcome.NOT_REACHED, (False,))
