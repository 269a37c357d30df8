"""Keeps the benchmark's jobs alive: on a small input every way to do a workload gives the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_python

BENCHMARKS = Path(__file__).parents[1]


def test_all_cases_of_a_workload_have_equal_answers() -> None:
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--check-only", "--records", "20000"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for case in (
        "limits.w1_inline",
        "millstream_jobs.w1_batch",
        "millstream_jobs.w2_process_timed",
        "millstream_jobs.w2_process_typed",
        "millstream_jobs.w2_process_ttl",
        "millstream_jobs.w3",
        "millstream_jobs.w6",
    ):
        assert case in checked.stdout


def test_lone_records_all_arrive() -> None:
    command = [sys.executable, str(BENCHMARKS / "measure.py"), "latency", "--records", "20"]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stderr
    assert len(json.loads(measured.stdout)["latency_ms"]) == 20


def test_gaps_and_latencies_are_those_of_complete_checkpoints() -> None:
    command = [sys.executable, str(BENCHMARKS / "measure.py"), "snapshots", "--records", "1000", "--seconds", "3"]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stderr
    figures = json.loads(measured.stdout)
    assert 1 <= figures["checkpoints"] <= 3
    assert len(figures["duration_ms"]) == len(figures["gap_ms"]) == figures["checkpoints"]
    assert len(figures["latency_ms"]) + len(figures["between_ms"]) == 30_000


def test_every_figure_of_several_processes_is_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "measure.py"), "processes", "--records", "20000"]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stderr
    assert set(json.loads(measured.stdout)) == {"exchange", "keyed_inline", "keyed_one", "keyed_two"}
