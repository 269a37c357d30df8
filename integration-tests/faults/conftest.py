"""Which faults of processes are run: everything with --millstream-full, the gate with -m fault_gate, else a sample of that."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import pytest

from millstream_testkit.harness import SinkHarness
from millstream_testkit.processes.case import ProcessCase
from millstream_testkit.processes.plan import OF_SINKS, bystanders, double_faults, single_faults, zombies
from millstream_testkit.sinks import FileSinkHarness, LedgerHarness

TWO_PHASE, WRITE_AHEAD = FileSinkHarness(), LedgerHarness()
SINKS = (TWO_PHASE, WRITE_AHEAD)

Chosen = list[tuple[SinkHarness, ProcessCase]]

DOUBLES: Final = 34
"""Double faults of the gate."""

SAMPLE: Final = 17
"""Every so manieth case of the gate is in the sample."""


def gate() -> Chosen:
    """Every point with every action: a sink's points with both sinks, the engine's with one and the other in turn. Some of all else."""
    chosen: Chosen = []
    for sink in SINKS:
        chosen += [(sink, case) for case in single_faults(sink) if case.faults[-1].point.startswith(OF_SINKS)]
    chosen += in_turn(*[[case for case in single_faults(sink) if not case.faults[-1].point.startswith(OF_SINKS)] for sink in SINKS])
    chosen += in_turn(*[bystanders(sink)[::2] for sink in SINKS])
    chosen += in_turn(*[zombies(sink) for sink in SINKS])
    chosen += in_turn(*[double_faults(sink) for sink in SINKS])[:DOUBLES]
    return chosen


def in_turn(two_phase: list[ProcessCase], write_ahead: list[ProcessCase]) -> Chosen:
    """The first case with the one sink, the second with the other, and so on."""
    pairs = enumerate(zip_longest(two_phase, write_ahead))
    found = [(SINKS[number % 2], pair[number % 2]) for number, pair in pairs]
    return [(sink, case) for sink, case in found if case is not None]


def everything() -> Chosen:
    """Every point at an early, a later and a late pass, with every action and both sinks; all double faults; some over three processes."""
    chosen: Chosen = []
    for sink in SINKS:
        cases = [*single_faults(sink, occurrences=(1, 2, 4)), *bystanders(sink), *zombies(sink), *double_faults(sink)]
        cases += [ProcessCase(case.faults, processes=3, parallelism=4) for case in single_faults(sink)[::3]]
        chosen += [(sink, case) for case in cases]
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "process_case" not in metafunc.fixturenames:
        return
    option = metafunc.config.option
    chosen = everything() if option.millstream_full else gate()
    if not option.millstream_full and "fault_gate" not in (option.markexpr or ""):
        chosen = chosen[::SAMPLE]
    metafunc.parametrize(("sink", "process_case"), chosen, ids=[f"{sink.name}: {case}" for sink, case in chosen])
