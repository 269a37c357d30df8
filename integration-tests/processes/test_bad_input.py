"""What a job of several processes says when it cannot go on, and that nothing is lost by it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"bad_input_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


started, limited = beside("started"), beside("limited_job")
pytestmark = pytest.mark.timeout(180)


class Job:
    """Runs of one of the jobs with the same folders."""

    def __init__(self, root: Path, script: str = "limited_job") -> None:
        self.files, self.checkpoints, self.log = root / "files", root / "checkpoints", root / "log"
        self._script = HERE / f"{script}.py"

    def start(self, **options: Any) -> Any:
        more = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        return started.Started([str(self._script), f"--files={self.files}", f"--checkpoints={self.checkpoints}", *more], self.log)

    def ends(self, **options: Any) -> tuple[int, str]:
        """Exit code of a run, and what it wrote."""
        written = len(self.log.read_text()) if self.log.exists() else 0
        run = self.start(**options)
        return run.ends(), run.output()[written:]

    def is_exact(self, count: int = 4_000) -> bool:
        wanted = Counter((number % limited.KEYS, number // limited.KEYS + 1) for number in range(count))
        assert started.lines_of(self.files) == wanted
        return True


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_disk_that_is_full_for_a_worker_ends_the_job_with_the_file_and_nothing_is_lost(job: Job) -> None:
    code, output = job.ends(file_kb=40, rate=4_000)
    assert code == 1
    assert re.search(r"state of 'process\(Padded\).*' could not be stored: .*File too large", output), output
    assert "failed" in output.splitlines()[-1]
    code, output = job.ends()
    assert (code, output.splitlines()[-1]) == (0, "finished restarts=0")
    assert job.is_exact()


def test_a_worker_that_gets_no_more_memory_ends_the_job_with_the_users_line(job: Job) -> None:
    code, output = job.ends(memory_mb=1_500, greedy=3_000, rate=10_000)
    assert code == 1
    assert "MemoryError" in output
    assert re.search(r"limited_job.py:\d+ in hungry: return len\(bytearray", output), output
    code, output = job.ends()
    assert (code, output.splitlines()[-1]) == (0, "finished restarts=0")
    assert job.is_exact()


@pytest.mark.faults
def test_a_worker_that_is_killed_again_and_again_ends_the_job_with_a_word_about_memory(job: Job) -> None:
    code, output = job.ends(killed=3_000, rate=10_000, restarts=2)
    assert code == 1
    assert "was lost: its process was killed by SIGKILL. If nobody ended it, see the log of the system: where memory runs out" in output
    assert "failed after 2 restarts" in output.splitlines()[-1]
    code, output = job.ends()
    assert (code, output.splitlines()[-1]) == (0, "finished restarts=0")
    assert job.is_exact()


@pytest.mark.faults
def test_a_checkpoint_of_a_later_release_is_refused_before_a_process_starts_and_goes_on_there(job: Job) -> None:
    run = job.start(rate=4_000)
    try:
        started.until(lambda: started.newest_checkpoint(job.checkpoints) > 1)
        workers = run.workers(2)
    finally:
        run.kill()
    started.until(lambda: not started.alive(workers), 20)
    (manifest,) = (path for path in job.checkpoints.glob(f"*/chk-{started.newest_checkpoint(job.checkpoints)}/_metadata"))
    ours = manifest.read_bytes()
    magic, number, rest = ours.split(b" ", 2)
    manifest.write_bytes(b"%s %d %s" % (magic, int(number) + 1, rest))
    code, output = job.ends()
    assert code == 1
    assert re.search(rf"UnknownCheckpointFormat: .*format {int(number) + 1}", output), output
    assert "worker" not in output
    manifest.write_bytes(ours)
    code, output = job.ends()
    assert (code, output.splitlines()[-1]) == (0, "finished restarts=0")
    assert job.is_exact()


def test_a_parallelism_above_the_number_of_key_groups_is_refused_with_both(tmp_path: Path) -> None:
    code, output = Job(tmp_path, "keyed_job").ends(parallelism=65, processes=2, count=10)
    assert code == 1
    last = output.splitlines()[-1]
    assert "65" in last, output
    assert "64" in last, output
    assert not (tmp_path / "files").exists()
