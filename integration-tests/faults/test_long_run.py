"""What a long run of faults notes in its ledger."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def long_run(ledger: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "long_run.py"), "--simulation-only", "--minutes=0.01", f"--ledger={ledger}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(240)
def test_each_long_run_appends_a_line_with_its_seeds_and_its_result(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.csv"
    before = "date,commit,python,minutes,process_cases,first_seed,seeds,twice,result\n2026-01-01,0123456789ab,3.11,61.0,900,5,20000,200,passed\n"
    ledger.write_text(before)
    done = long_run(ledger, "--seed", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ledger.read_text().startswith(before)
    with ledger.open(newline="") as file:
        _, line = csv.DictReader(file)
    assert (line["first_seed"], line["result"]) == ("100", "passed")
    assert int(line["seeds"]) >= 25
    assert int(line["twice"]) >= 1


@pytest.mark.parametrize(("until", "outcome"), [("1", "1 skipped"), ("99999999999", "1 passed")])
def test_a_case_that_has_not_begun_when_the_time_is_over_is_not_run(tmp_path: Path, until: str, outcome: str) -> None:
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "time_limit", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "MILLSTREAM_FAULTS_UNTIL": until}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome in done.stdout, done.stdout + done.stderr
