"""Jobs over several processes: exact whatever is killed, and gone when they are over."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

HERE = Path(__file__).parent


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"processes_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


started, keyed = beside("started"), beside("keyed_job")
SEED = 5
COUNT = 12_000


class Job:
    """Runs of the keyed job with the same folders."""

    def __init__(self, root: Path) -> None:
        self.files, self.checkpoints, self.log = root / "files", root / "checkpoints", root / "log"

    def start(self, crash: str = "", **options: Any) -> Any:
        options = {"count": COUNT, **options}
        more = [f"--{name}={value}" for name, value in options.items()]
        return started.Started([str(HERE / "keyed_job.py"), f"--files={self.files}", f"--checkpoints={self.checkpoints}", *more], self.log, crash)

    def past_a_checkpoint(self, before: int = 0) -> int:
        """The newest checkpoint, once there is one behind `before`."""
        found: int = started.until(lambda: (newest := started.newest_checkpoint(self.checkpoints)) > before and newest)
        return found

    def stalled(self) -> bool:
        """Whether a function has begun to stand still."""
        return Path(f"{self.files}.stalled").exists()

    def is_exact(self, count: int = COUNT) -> bool:
        counts, sums = started.expected(count, keyed.key, keyed.WINDOW_MS)
        assert started.lines_of(self.files / "sums") == sums
        assert started.lines_of(self.files / "counts") == counts
        return True


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("parallelism", "processes"), [(1, 1), (2, 2), (4, 2), (3, 3), (4, 4)])
def test_results_over_processes_are_those_of_plain_python(job: Job, parallelism: int, processes: int) -> None:
    run = job.start(parallelism=parallelism, processes=processes, rate=1_000_000, count=5_000)
    assert run.ends() == 0, run.output()
    assert "finished restarts=0 in=5000" in run.output()
    assert job.is_exact(5_000)


@pytest.mark.faults
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("parallelism", "processes"), [(2, 2), (4, 3)])
def test_each_result_is_visible_once_when_workers_are_killed_at_random_moments(job: Job, parallelism: int, processes: int) -> None:
    random, run, checkpoint = Random(SEED * processes), job.start(parallelism=parallelism, processes=processes, rate=3_000), 0
    try:
        for _ in range(2):
            checkpoint = job.past_a_checkpoint(checkpoint)
            workers = run.workers(processes)
            with pytest.raises(Exception, match="timed out"):
                run.process.wait(random.uniform(0, 0.3))
            os.kill(random.choice(workers), signal.SIGKILL)
            started.until(lambda workers=workers: not started.alive(workers))  # the others belong to the same attempt
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert "finished restarts=2 " in run.output()
    assert "was lost: its process was killed by SIGKILL. If nobody ended it, see the log of the system" in run.output()
    assert sorted(path.name for path in job.checkpoints.glob("*/chk-*")) == []
    assert job.is_exact()


@pytest.mark.faults
@pytest.mark.timeout(150)
@pytest.mark.parametrize("crash", ["task.snapshot.uploaded#8", "task.alignment.open#5", "sink.prepare.after#7", "sink.commit.before#5"])
def test_each_result_is_visible_once_when_workers_die_at_a_crash_point_in_every_attempt(job: Job, crash: str) -> None:
    run = job.start(crash, rate=8_000, count=8_000)
    assert run.ends(140) == 0, run.output()
    assert re.search("finished restarts=[1-9]", run.output())
    assert job.is_exact(8_000)


@pytest.mark.faults
@pytest.mark.timeout(150)
@pytest.mark.parametrize("crash", ["coordinator.acks.half#3", "checkpoint.durable.before_notify#3"])
def test_each_result_is_visible_once_when_the_coordinator_dies_at_a_crash_point_in_every_run(job: Job, crash: str) -> None:
    ends = []
    while not ends or ends[-1] == -signal.SIGKILL:
        run = job.start(crash, rate=8_000, count=8_000)
        workers = run.workers(2)
        ends.append(run.ends())
        started.until(lambda workers=workers: not started.alive(workers), 10)
    assert ends[0] == -signal.SIGKILL
    assert ends[-1] == 0, run.output()
    assert job.is_exact(8_000)


@pytest.mark.faults
@pytest.mark.timeout(120)
def test_what_a_checkpoint_left_to_be_committed_is_committed_once_by_another_number_of_subtasks_and_processes(job: Job) -> None:
    """Each run but the last dies between the moment its second checkpoint is durable and the commit of what it covers."""
    for parallelism, processes in ((2, 1), (5, 2)):
        run = job.start("checkpoint.durable.before_notify#2", parallelism=parallelism, processes=processes, rate=4_000, count=4_000)
        assert run.ends() == -signal.SIGKILL, run.output()
        assert started.newest_checkpoint(job.checkpoints) > 0
    run = job.start(parallelism=3, processes=3, rate=1_000_000, count=4_000)
    assert run.ends() == 0, run.output()
    assert job.is_exact(4_000)


@pytest.mark.faults
@pytest.mark.timeout(120)
def test_a_run_goes_on_from_a_checkpoint_with_another_number_of_processes(job: Job) -> None:
    for parallelism, processes in ((4, 4), (2, 1), (3, 2)):
        before = started.newest_checkpoint(job.checkpoints)
        run = job.start(parallelism=parallelism, processes=processes, rate=4_000)
        try:
            job.past_a_checkpoint(before)
            workers = run.workers(processes)
        finally:
            run.kill()
        started.until(lambda workers=workers: not started.alive(workers), 10)
    last = job.start(parallelism=2, processes=2, rate=1_000_000)
    assert last.ends() == 0, last.output()
    assert job.is_exact()


@pytest.mark.faults
def test_a_run_goes_on_from_the_path_of_a_checkpoint_that_was_moved(job: Job, tmp_path: Path) -> None:
    run = job.start(parallelism=3, processes=3, rate=4_000)
    try:
        job.past_a_checkpoint(1)
        workers = run.workers(3)
    finally:
        run.kill()
    started.until(lambda: not started.alive(workers), 10)
    newest = started.newest_checkpoint(job.checkpoints)
    elsewhere = job.checkpoints.rename(tmp_path / "elsewhere")
    last = job.start(resume=elsewhere / "keyed" / f"chk-{newest}", rate=1_000_000)
    assert last.ends() == 0, last.output()
    assert job.is_exact()


@pytest.mark.faults
@pytest.mark.parametrize("stall", [0, 600], ids=["working", "inside of a function"])
def test_no_process_outlives_its_job_when_the_program_is_killed(job: Job, stall: int) -> None:
    run = job.start(processes=2, stall=stall, rate=1_000)
    try:
        workers = run.workers(2)
        started.until(job.stalled) if stall else job.past_a_checkpoint()
    finally:
        run.kill()
    started.until(lambda: not started.alive(workers), 10)


@pytest.mark.faults
def test_a_worker_that_stands_still_is_given_up_and_the_job_goes_on(job: Job, tmp_path: Path) -> None:
    (tmp_path / "millstream.toml").write_text('[execution]\nheartbeat_timeout = "2s"\n')
    run = started.Started(
        ["-c", f"import os, runpy, sys; os.chdir({str(tmp_path)!r}); sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
         str(HERE / "keyed_job.py"), f"--files={job.files}", f"--checkpoints={job.checkpoints}", f"--count={COUNT}"], job.log
    )  # fmt: skip
    try:
        job.past_a_checkpoint()
        workers = run.workers(2)
        os.kill(workers[0], signal.SIGSTOP)
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert "it gave no sign of life for 2 s (execution.heartbeat_timeout)" in run.output()
    assert re.search(r"finished restarts=[1-9]", run.output())
    assert job.is_exact()


@pytest.mark.faults
def test_ctrl_c_stops_all_processes_with_a_last_checkpoint_from_which_the_job_goes_on(job: Job) -> None:
    run = job.start(rate=4_000)
    try:
        job.past_a_checkpoint()
        workers = run.workers(2)
        run.interrupt()
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert "suspended restarts=0 " in run.output()
    assert not started.alive(workers)
    last = job.start(rate=1_000_000)
    assert last.ends() == 0, last.output()
    assert job.is_exact()


@pytest.mark.faults
def test_a_second_ctrl_c_ends_all_processes_though_their_functions_do_not_come_back(job: Job) -> None:
    run = job.start(stall=600, rate=1_000)
    try:
        workers = run.workers(2)
        started.until(job.stalled)
        run.interrupt()
        with pytest.raises(Exception, match="timed out"):
            run.process.wait(1)
        run.interrupt()
        assert run.ends(20) != 0
    finally:
        run.kill()
    assert "KeyboardInterrupt" in run.output()
    assert not started.alive(workers)


def test_a_function_that_fails_in_a_worker_is_reported_with_the_users_line(job: Job) -> None:
    run = job.start(fail=700, restarts=0, rate=1_000_000, count=1_000)
    assert run.ends() == 1
    assert "ValueError: no 700, please" in run.output()
    assert f"{HERE / 'keyed_job.py'}:" in run.output()
    assert 'in slow: raise ValueError(f"no {number}, please")' in run.output()
    assert "raised by main.<locals>.slow in operator 'map(slow)'" in run.output()
