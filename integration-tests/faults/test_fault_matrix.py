"""Jobs over several processes, two sinks, and one or two faults each, at every named point: exact for whoever reads the output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from millstream.errors import UnknownCrashPoint
from millstream.ports import CRASH_POINTS
from millstream_testkit.case import Outcome
from millstream_testkit.harness import SinkHarness
from millstream_testkit.processes.case import ProcessCase
from millstream_testkit.processes.fault import ProcessFault
from millstream_testkit.processes.plan import LEADS_TO, in_program, passed_points
from millstream_testkit.processes.runner import ProcessFaultRunner
from millstream_testkit.sinks import RIGHT_SINKS, FileSinkHarness, LedgerHarness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.mark.fault_gate
def test_each_row_is_written_once_whatever_happens_to_a_process(
    sink: SinkHarness, process_case: ProcessCase, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    result = ProcessFaultRunner(sink, tmp_path).run(process_case)
    if result.outcome is Outcome.NOT_REACHED and pytestconfig.option.millstream_full:
        pytest.skip(f"exact, but {result.struck} of {len(process_case.faults)} faults struck: in all combinations there are some that never do")
    assert result.outcome is Outcome.EXACT, str(result)


@pytest.mark.parametrize("sink", RIGHT_SINKS, ids=lambda sink: sink.name)
def test_program_and_task_managers_pass_the_points_that_the_plan_says(sink: SinkHarness, tmp_path: Path) -> None:
    passers = ProcessFaultRunner(sink, tmp_path).survey(ProcessCase(()))
    assert passers.keys() == set(passed_points(sink)) - LEADS_TO.keys()
    assert {point: {"program" if in_program(point) else "worker"} for point in passers} == passers


def test_a_fault_that_never_strikes_is_reported_as_such(tmp_path: Path) -> None:
    result = ProcessFaultRunner(LedgerHarness(), tmp_path).run(ProcessCase((ProcessFault("sink.prepare.mid"),)))
    assert (result.outcome, result.struck) == (Outcome.NOT_REACHED, 0), str(result)


def test_a_fault_at_a_misspelled_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownCrashPoint,
        match=re.escape("a fault names the crash point 'sink.comit.before', which nothing declares. Did you mean 'sink.commit.before'?"),
    ):
        ProcessFaultRunner(FileSinkHarness(), tmp_path).run(ProcessCase((ProcessFault("sink.comit.before"),)))


def test_the_gate_has_every_point_with_every_action() -> None:
    sinks = RIGHT_SINKS
    points = {point for sink in sinks for point in passed_points(sink)}
    assert points == set(CRASH_POINTS)
