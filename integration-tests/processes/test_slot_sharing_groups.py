"""A job of two slot sharing groups over processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COUNT = 4_000


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"processes_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


started = beside("started")


@pytest.mark.faults
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("apart", "processes"), [(1, 3), (3, 2)])
def test_each_record_is_visible_once_when_groups_of_unequal_width_run_in_processes_of_which_one_is_killed(
    tmp_path: Path, apart: int, processes: int
) -> None:
    files, checkpoints = tmp_path / "files", tmp_path / "checkpoints"
    options = [f"--files={files}", f"--checkpoints={checkpoints}", f"--apart={apart}", f"--processes={processes}", f"--count={COUNT}"]
    run = started.Started([str(HERE / "forward_job.py"), *options], tmp_path / "log")
    workers = run.workers(processes)
    started.until(lambda: started.newest_checkpoint(checkpoints))
    os.kill(workers[-1], signal.SIGKILL)
    assert run.ends() == 0, run.output()
    assert "finished restarts=1" in run.output()
    assert started.lines_of(files) == Counter({(number,): 1 for number in range(COUNT)})
