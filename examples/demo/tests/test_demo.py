"""The whole demonstration, smaller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1]
SMALL = ("--readings=20000", "--rate=5000", "--checkpoint-interval-ms=250", "--kills=2")


def demonstrate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the demonstration to its end."""
    command = [sys.executable, str(DEMO / "run.py"), *SMALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.faults
def test_output_is_exact_although_the_job_was_killed(tmp_path: Path) -> None:
    shown = demonstrate(f"--workdir={tmp_path / 'work'}")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "2 kills, 2 of them between prepare and commit; 3 attempts" in shown.stdout
    assert shown.stdout.splitlines()[-2] == "EXACT"


@pytest.mark.faults
@pytest.mark.timeout(120)
def test_output_is_exact_although_task_managers_and_the_job_manager_were_killed(tmp_path: Path) -> None:
    shown = demonstrate("--parallelism=2", "--kills=3", f"--workdir={tmp_path / 'work'}")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("SIGKILL of a TaskManager (process ") == 2
    assert shown.stdout.count("SIGKILL of the JobManager (process ") == 1
    assert shown.stdout.splitlines()[-2] == "EXACT"


@pytest.mark.faults
def test_without_exactly_once_the_same_kills_leave_damage_and_the_verdict_says_so(tmp_path: Path) -> None:
    shown = demonstrate("--no-exactly-once", f"--workdir={tmp_path / 'work'}")
    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert "NOT EXACT" in shown.stdout
