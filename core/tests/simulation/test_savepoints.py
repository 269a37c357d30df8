"""Savepoints and several checkpoints under way, in whole jobs with faults: what a reader of the target sees stays exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from millstream import JobStatus, StreamExecutionEnvironment
from millstream.checkpoint.manifest import Manifest, read_state_file
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.ports import SeededRandom
from millstream.runtime.job_manager import JobManager
from millstream.testing import Faults, SimulationResult, Target, simulate
from millstream.testing.storage import DiskStorage
from millstream_filesystem import FilesystemCheckpointStorage

from .test_exactly_once import JOBS, READINGS, Job, count_per_bucket, make_target

SAVEPOINTS = "/simulated/savepoints"
Ask = Callable[[JobManager], object]


@dataclass
class Asked:
    """What came of the savepoints and stops that a test asked for."""

    paths: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def done(self, path: str | None, error: Exception | None) -> None:
        assert (path is None) != (error is None)
        if path is not None:
            self.paths.append(path)
        if error is not None:
            self.errors.append(error)

    def savepoint(self) -> Ask:
        return lambda manager: manager.savepoint(SAVEPOINTS, self.done)

    def stop(self, *, drain: bool) -> Ask:
        return lambda manager: manager.stop(drain=drain, savepoint=SAVEPOINTS, done=self.done)


def run(
    job: Job,
    target: Target[Any],
    parallelism: int,
    seed: int,
    faults: Faults,
    at: list[tuple[float, Ask]],
    files: dict[str, bytes] | None = None,
    **settings: Any,
) -> SimulationResult:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(parallelism)
        job(environment).sink_to(target.sink(), uid="out")

    incremental = {"checkpoint.incremental_from": 0} if seed % 3 else {}
    options = {
        "job.max_parallelism": 12,
        "checkpoint.interval": timedelta(milliseconds=20),
        "restart.strategy": "exponential_delay",
        **incremental,
        **settings,
    }
    return simulate(program, seed=seed, faults=faults, targets=[target], settings=options, at=at, files=files)


def read_whole(result: SimulationResult, path: str) -> Manifest:
    """The manifest of a savepoint, all of whose files were looked at."""
    store, number = FilesystemCheckpointStorage("/").find(path, DiskStorage(result.disk))
    manifest = CompletedCheckpoints(store, "", 1).read(number)
    for task in manifest.tasks:
        for file in task.files():
            assert not file.shared, result.replay
            read_state_file(store, number, file)
    return manifest


def moments(seed: int, count: int) -> list[float]:
    random = SeededRandom(f"{seed}/moments")
    return [random.random() * 1.2 for _ in range(count)]


def again_and_again(seed: int, ask: Ask) -> list[tuple[float, Ask]]:
    """Somebody who asks until it is done: the process may be dead when it is asked, or its attempt fail meanwhile."""
    return [(start_s + jitter / 4, ask) for start_s, jitter in zip((0.05, 0.4, 1.5, 4.0, 11.0), moments(seed, 5), strict=True)]


SEEDS, MORE_SEEDS, MANY_SEEDS = 8, 4, 120
KINDS = ["two_phase_commit", "write_ahead"]


def sweep_savepoints(name: str, kind: str, seeds: range) -> int:
    """How many savepoints there were."""
    job, expected = JOBS[name]
    taken = 0
    for seed in seeds:
        asked, target = Asked(), make_target(kind, seed)
        at = [(moment, asked.savepoint()) for moment in moments(seed, 4)]
        settings = {"checkpoint.max_concurrent": 1 + seed % 3, "checkpoint.interval": timedelta(milliseconds=(20, 4)[seed % 2])}
        result = run(job, target, 1 + seed % 3, seed, Faults.mixed(seed), at, **settings)
        assert result.status is JobStatus.FINISHED, f"{result.error!r}\n{result.replay}"
        assert sorted(target.visible()) == expected, result.replay
        assert target.leftovers() == [], result.replay
        assert len(asked.paths) + len(asked.errors) <= 4, result.replay
        for path in asked.paths:
            assert read_whole(result, path).kind == "savepoint", result.replay
        taken += len(asked.paths)
    return taken


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("kind", KINDS)
def test_savepoints_at_any_moment_and_several_checkpoints_under_way_change_nothing_that_a_reader_sees(name: str, kind: str) -> None:
    assert sweep_savepoints(name, kind, range(SEEDS)) > 2


def sweep_stops(name: str, kind: str, seeds: range) -> int:
    """How many runs were stopped and resumed."""
    job, expected = JOBS[name]
    stopped = 0
    for seed in seeds:
        asked, target = Asked(), make_target(kind, seed)
        mixed = Faults.mixed(seed)
        at = again_and_again(seed, asked.stop(drain=False))
        first = run(job, target, 1 + seed % 3, seed, mixed, at, **{"checkpoint.max_concurrent": 1 + seed % 2})
        if first.status is JobStatus.FINISHED:  # the attempt failed whenever it was asked, or its input had ended just then
            assert sorted(target.visible()) == expected, first.replay
            continue
        stopped += 1
        assert first.status is JobStatus.SUSPENDED, f"{first.error!r} {first.replay}"
        # A program that takes over when the job has been stopped just then resumes it, and is stopped in its turn.
        assert len(asked.paths) <= 1 + mixed.takeovers, first.replay
        path = asked.paths[-1]
        read_whole(first, path)
        # Whoever resumes from a path resumes from it again when the process dies: so here nothing kills it.
        faults = replace(mixed, crashes=0, takeovers=0, storage_errors=0)
        files = {name: data for name, data in first.disk.files().items() if seed % 2 or name.startswith(SAVEPOINTS)}
        second = run(job, target, 1 + (seed + 1) % 3, seed + 1000, faults, [], files, **{"job.resume": path})
        assert second.status is JobStatus.FINISHED, f"{second.error!r}\n{first.replay}\n{second.replay}"
        assert sorted(target.visible()) == expected, f"{first.replay}\n{second.replay}"
        assert target.leftovers() == [], second.replay
        read_whole(second, path)  # the engine deletes no savepoint
    return stopped


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_suspended_with_a_savepoint_and_resumed_at_another_parallelism_gives_what_one_run_gives(name: str, kind: str) -> None:
    assert sweep_stops(name, kind, range(SEEDS)) >= 2


def sweep_drains(kind: str, seeds: range) -> tuple[int, int]:
    """How many runs were drained and resumed, and how many of them had written something before."""
    drained = some = 0
    for seed in seeds:
        asked, target = Asked(), make_target(kind, seed)
        faults = Faults.mixed(seed)
        at = again_and_again(seed, asked.stop(drain=True))
        first = run(count_per_bucket, target, 1 + seed % 3, seed, faults, at)
        assert first.status is JobStatus.FINISHED, f"{first.error!r}\n{first.replay}"
        if not asked.paths:
            continue
        drained += 1
        (path,) = asked.paths
        manifest = read_whole(first, path)
        states = [state for task in manifest.tasks for state in task.operators]
        assert [chunk.table for state in states for chunk in state.chunks if chunk.table == "counts"] == [], first.replay
        before = sum(count for _, _, count in target.visible())
        quiet = replace(faults, crashes=0, takeovers=0, storage_errors=0)
        second = run(count_per_bucket, target, 1 + (seed + 1) % 3, seed + 1000, quiet, [], first.disk.files(), **{"job.resume": path})
        assert second.status is JobStatus.FINISHED, f"{second.error!r}\n{first.replay}\n{second.replay}"
        totals: Counter[tuple[str, int]] = Counter()
        for key, end, count in target.visible():
            totals[key, end] += count
        assert sorted((key, end, count) for (key, end), count in totals.items()) == JOBS["timers"][1], f"{first.replay}\n{second.replay}"
        assert before <= len(READINGS)
        some += before > 0
    return drained, some


@pytest.mark.parametrize("kind", KINDS)
def test_a_drained_job_has_fired_every_timer_and_what_is_resumed_from_its_savepoint_loses_and_repeats_nothing(kind: str) -> None:
    drained, some = sweep_drains(kind, range(SEEDS))
    assert drained >= 2
    assert some >= 1


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it_over_many_seeds(kind: str, request: pytest.FixtureRequest) -> None:
    many = MANY_SEEDS if request.config.getoption("--millstream-full", default=False) else MORE_SEEDS
    seeds = range(SEEDS, SEEDS + many)
    for name in JOBS:
        sweep_savepoints(name, kind, seeds)
        sweep_stops(name, kind, seeds)
    sweep_drains(kind, seeds)
