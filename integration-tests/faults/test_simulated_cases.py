"""1,000 seeds of the simulation: 200 that are always the same, and 800 from MILLSTREAM_SIMULATION_SEED on. Fresh ones: `nox -s bench_faults`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE))  # what the replay line runs, and nothing else

from simulated_cases import SimulatedCase  # noqa: E402

FIXED: Final = 200
FRESH: Final = 800
TOGETHER: Final = 25
SAMPLE: Final = 25
"""Seeds that are run with all other tests, on every Python."""

TWICE: Final = 100
"""Every so manieth seed is run twice."""

BASE: Final = int(os.environ.get("MILLSTREAM_SIMULATION_SEED", "1000000"))

KINDS: Final = {
    "crash",
    "power loss",
    "task manager crash",
    "loss noticed",
    "stop",
    "given up",
    "takeover",
    "failure",
    "storage error",
    "lost",
    "late",
    "doubled",
    "lost request",
    "late message",
    "doubled message",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        whole = "fault_gate" in (metafunc.config.option.markexpr or "")
        fixed = [range(first, first + TOGETHER) for first in range(0, FIXED if whole else SAMPLE, TOGETHER)]
        fresh = [range(first, first + TOGETHER) for first in range(BASE, BASE + FRESH, TOGETHER)] if whole else []
        metafunc.parametrize("seeds", [*fixed, *fresh], ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.fault_gate
@pytest.mark.timeout(300)
def test_every_result_is_visible_once_whatever_happens_to_processes_and_messages(seeds: range) -> None:
    injected: Counter[str] = Counter()
    for seed in seeds:
        result = SimulatedCase(seed).run()
        injected.update(result.injected)
        if seed % TWICE == 0:
            again = SimulatedCase(seed).run()
            assert again.trace_hash == result.trace_hash, f"seed {seed} takes two courses"
    if seeds.start < FIXED:  # of fresh ones nobody can promise it
        common = KINDS - {"given up"}
        assert common <= set(injected), f"never happened: {sorted(common - set(injected))}"


@pytest.mark.fault_gate
@pytest.mark.timeout(120)
def test_the_line_that_a_failure_prints_runs_its_case_again() -> None:
    result = SimulatedCase(21).run()
    done = subprocess.run(
        [sys.executable, str(HERE / "simulated_cases.py"), "21"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"trace {result.trace_hash}" in done.stdout
