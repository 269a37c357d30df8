"""A TaskManager that dies takes its own regions with it, and no other process."""

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
COUNT = 6_000


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
@pytest.mark.parametrize(("parallelism", "processes", "kills"), [(2, 2, 2), (4, 2, 1)])
def test_only_the_process_that_died_is_replaced_and_each_record_is_visible_once(tmp_path: Path, parallelism: int, processes: int, kills: int) -> None:
    files, checkpoints = tmp_path / "files", tmp_path / "checkpoints"
    options = [f"--files={files}", f"--checkpoints={checkpoints}", f"--parallelism={parallelism}", f"--processes={processes}"]
    run = started.Started([str(HERE / "forward_job.py"), *options], tmp_path / "log")
    workers = set(run.workers(processes))
    newest = 0
    for _ in range(kills):
        before = newest
        newest = started.until(
            lambda before=before: max(0, started.newest_checkpoint(checkpoints) - before) and started.newest_checkpoint(checkpoints)
        )
        killed = max(workers)
        os.kill(killed, signal.SIGKILL)
        started.until(lambda killed=killed: killed not in started.workers_of(run.process.pid))
        now = set(run.workers(processes))
        assert len(now & workers) == processes - 1
        assert killed not in now
        workers = now
    assert run.ends() == 0, run.output()
    assert f"finished restarts={kills}" in run.output()
    assert started.lines_of(files) == Counter({(number,): 1 for number in range(COUNT)})
