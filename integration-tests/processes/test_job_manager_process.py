"""Jobs whose JobManager has a process of its own: exact whichever process is killed, and gone when they are over."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.errors import InvalidArgument
from millstream.plugins import PluginManager

HERE = Path(__file__).parent
COUNT = 10_000


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"processes_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


started, keyed = beside("started"), beside("keyed_job")


class Job:
    """Runs of the keyed job with the same folders."""

    def __init__(self, root: Path) -> None:
        self.files, self.checkpoints, self.log = root / "files", root / "checkpoints", root / "log"

    def start(self, **options: Any) -> Any:
        more = [f"--{name}={value}" for name, value in {"count": COUNT, "rate": 3_000, "own": 1, **options}.items()]
        return started.Started([str(HERE / "keyed_job.py"), f"--files={self.files}", f"--checkpoints={self.checkpoints}", *more], self.log)

    def past_a_checkpoint(self, before: int = 0) -> int:
        found: int = started.until(lambda: (newest := started.newest_checkpoint(self.checkpoints)) > before and newest)
        return found

    def is_exact(self) -> bool:
        counts, sums = started.expected(COUNT, keyed.key, keyed.WINDOW_MS)
        assert started.lines_of(self.files / "sums") == sums
        assert started.lines_of(self.files / "counts") == counts
        return True


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(150)
def test_each_result_is_visible_once_when_the_job_manager_is_killed_and_another_takes_over(job: Job) -> None:
    run = job.start()
    try:
        newest, killed, all_of_them = 0, 0, []
        for _ in range(2):
            manager, workers = run.job_manager(killed)
            newest = job.past_a_checkpoint(newest)
            os.kill(manager, signal.SIGKILL)
            killed = manager
            started.until(lambda pids=workers: not started.alive(pids))
            all_of_them += [manager, *workers]
        manager, workers = run.job_manager(killed)
        os.kill(workers[0], signal.SIGKILL)
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert run.output().count("The JobManager of job 'keyed' was lost: its process was killed by SIGKILL.") == 2
    assert "finished restarts=3" in run.output()
    assert not started.alive([*all_of_them, manager, *workers])
    assert job.is_exact()


@pytest.mark.faults
def test_a_job_fails_when_its_job_managers_die_more_often_than_its_restart_strategy_allows(job: Job) -> None:
    run = job.start(restarts=1)
    try:
        manager, _ = run.job_manager()
        os.kill(manager, signal.SIGKILL)
        second, _ = run.job_manager(manager)
        job.past_a_checkpoint()
        os.kill(second, signal.SIGKILL)
        assert run.ends() == 1
    finally:
        run.kill()
    assert "millstream.errors.JobManagerLost: The JobManager of job 'keyed' was lost: its process was killed by SIGKILL." in run.output()
    assert "Job 'keyed' failed after 1 restarts. Its last checkpoint is kept at " in run.output()
    last = job.start(rate=1_000_000)
    assert last.ends() == 0, last.output()
    assert job.is_exact()


@pytest.mark.faults
def test_all_processes_end_when_the_program_is_killed(job: Job) -> None:
    run = job.start()
    try:
        manager, workers = run.job_manager()
    finally:
        run.kill()
    started.until(lambda: not started.alive([manager, *workers]), 10)


@pytest.mark.faults
def test_a_job_manager_that_stood_still_while_its_job_was_started_anew_changes_nothing(job: Job) -> None:
    run = job.start()
    try:
        manager, _ = run.job_manager()
        job.past_a_checkpoint()
        os.kill(manager, signal.SIGSTOP)
    finally:
        run.kill()
    last = job.start(rate=1_000_000, own=0)
    assert last.ends() == 0, last.output()
    assert job.is_exact()
    os.kill(manager, signal.SIGCONT)
    started.until(lambda: not started.alive([manager]), 10)
    assert job.is_exact()


@pytest.mark.faults
def test_ctrl_c_stops_all_processes_with_a_last_checkpoint_from_which_the_job_goes_on(job: Job) -> None:
    run = job.start()
    try:
        manager, workers = run.job_manager()
        job.past_a_checkpoint()
        run.interrupt()
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert "suspended restarts=0 " in run.output()
    assert not started.alive([manager, *workers])
    last = job.start(rate=1_000_000)
    assert last.ends() == 0, last.output()
    assert job.is_exact()


@pytest.mark.faults
def test_commands_of_other_terminals_reach_the_job(job: Job) -> None:
    run = job.start(count=10_000_000)  # it is stopped long before
    try:
        manager, workers = run.job_manager()
        job.past_a_checkpoint()
        command = [sys.executable, "-m", "millstream.cli.entry", "stop", f"keyed#{manager}"]
        stopped = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert stopped.returncode == 0, stopped.stderr
        assert run.ends() == 0, run.output()
    finally:
        run.kill()
    assert "Job 'keyed' stopped after" in stopped.stdout
    assert "suspended restarts=0 " in run.output()
    assert not started.alive([manager, *workers])


def test_a_function_that_fails_is_reported_with_the_users_line(job: Job) -> None:
    run = job.start(fail=700, restarts=0, rate=1_000_000)
    assert run.ends() == 1
    assert "ValueError: no 700, please" in run.output()
    assert f"{HERE / 'keyed_job.py'}:" in run.output()
    assert "millstream.errors.JobFailedError" in run.output()


def program(**settings: Any) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment(**settings).configure("execution.job_manager", "process")
    env.from_collection([1]).print()
    return env


def test_without_task_manager_processes_the_job_manager_has_none_either() -> None:
    with pytest.raises(InvalidArgument, match=r"Give 'client', or execution\.processes as well"):
        program().execute()


def test_plugins_that_only_the_program_has_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="'client': there are plugins that only this process has"):
        program(plugins=PluginManager([])).configure("execution.processes", 1).execute()


def test_a_job_that_is_started_in_the_background_keeps_its_job_manager() -> None:
    with pytest.raises(InvalidArgument, match="execute_async"):
        program().configure("execution.processes", 1).execute_async()
