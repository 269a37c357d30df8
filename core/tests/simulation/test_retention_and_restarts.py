"""What is left of a job's checkpoints when it ends, and how a failed job comes back: by name of the rule, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from millstream import JobStatus, MapFunction, RestartStrategies, StreamExecutionEnvironment
from millstream.runtime.job_manager import JobManager
from millstream.testing import Faults, ScriptedSource, SimulationResult, TransactionalTarget, Wait, World, simulate

END = {
    JobStatus.FINISHED: [],
    JobStatus.CANCELED: [(5.0, JobManager.cancel)],
    JobStatus.SUSPENDED: [(5.0, JobManager.stop)],
    JobStatus.FAILED: [],
}


def checkpoints_left(result: SimulationResult) -> list[str]:
    """The manifests on the disk."""
    return [path for path in result.disk.files() if path.endswith("/_metadata")]


def end_with(status: JobStatus, **settings: Any) -> SimulationResult:
    """A job that has taken checkpoints, and ends after a few seconds in the given way."""

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(RestartStrategies.no_restart())
        last = 0 if status is JobStatus.FAILED else 1
        numbers = environment.from_source(ScriptedSource([1, 2, Wait(10.0), last]), uid="in")
        numbers.map(lambda number: 1 // number).sink_to(TransactionalTarget[int]().sink(), uid="out")

    result = simulate(program, seed=1, at=END[status], settings={"checkpoint.interval": timedelta(seconds=1), **settings})
    assert result.status is status
    assert result.checkpoints > 0
    return result


@pytest.mark.parametrize("retention", ["delete_on_cancellation", "retain_on_cancellation"])
@pytest.mark.parametrize("status", list(END))
def test_checkpoints_are_left_by(status: JobStatus, retention: str) -> None:
    left = checkpoints_left(end_with(status, **{"checkpoint.retention": retention}))
    kept = status in (JobStatus.FAILED, JobStatus.SUSPENDED) or (status is JobStatus.CANCELED and retention == "retain_on_cancellation")
    assert len(left) == (1 if kept else 0)


def test_a_finished_job_keeps_its_last_checkpoint_if_asked_to() -> None:
    result = end_with(JobStatus.FINISHED, **{"checkpoint.keep_on_finish": True})
    (left,) = checkpoints_left(result)
    assert left == f"{result.last_checkpoint}/_metadata"


def test_as_many_checkpoints_are_left_as_are_retained() -> None:
    assert len(checkpoints_left(end_with(JobStatus.FAILED, **{"checkpoint.retained": 3}))) == 3


def test_a_stopped_job_has_processed_nothing_behind_its_last_checkpoint_and_shows_all_before_it() -> None:
    target = TransactionalTarget[int]()

    def program(environment: StreamExecutionEnvironment) -> None:
        script = [item for number in range(100) for item in (number, Wait(0.1))]
        environment.from_source(ScriptedSource(script), uid="in").sink_to(target.sink(), uid="out")

    result = simulate(program, seed=3, targets=[target], at=[(4.0, JobManager.stop)], settings={"checkpoint.interval": timedelta(seconds=3)})
    assert result.status is JobStatus.SUSPENDED
    assert target.visible() == list(range(len(target.visible())))
    assert len(target.visible()) > 35
    assert target.leftovers() == []


# --- ids


def test_an_id_of_a_checkpoint_is_not_used_again_by_a_later_life_of_the_process() -> None:
    for seed in range(5):
        owners: dict[str, set[int]] = {}
        lives = [0]
        target = TransactionalTarget[int]()

        def program(environment: StreamExecutionEnvironment, lives: list[int] = lives, target: Any = target) -> None:
            lives[0] += 1
            script = [item for number in range(60) for item in (number, Wait(0.05))]
            environment.from_source(ScriptedSource(script), uid="in").sink_to(target.sink(), uid="out")

        def look(world: World, owners: dict[str, set[int]] = owners, lives: list[int] = lives) -> None:
            for path in world.disk.files():
                if path.endswith("/_metadata"):
                    owners.setdefault(path, set()).add(lives[0])

        points = ("checkpoint.durable.before_notify#2", "task.snapshot.uploaded#3", "sink.commit.after#2")
        result = simulate(program, seed=seed, faults=Faults(crash_at=points, power_loss=0.0), observe=look)
        assert result.lives == 4
        first_seen = [min(owners[path]) for path in sorted(owners, key=lambda path: int(path.split("chk-")[1].split("/")[0]))]
        assert first_seen == sorted(first_seen), result.replay


# --- restart strategies


class FailsAtZero(MapFunction[int, int]):
    """Raises at zeros; notes when it was opened."""

    def __init__(self, opened: list[float], now: Callable[[], float]) -> None:
        self._opened = opened
        self._now = now

    def __deepcopy__(self, memo: object) -> FailsAtZero:
        return self  # all attempts write to the one list

    def open(self, context: Any) -> None:
        self._opened.append(self._now())

    def map(self, value: int) -> int:
        if value == 0:
            raise ValueError("a zero")
        return value


def run_failing(script: list[Any], strategy: Any = None, **settings: Any) -> tuple[SimulationResult, list[float]]:
    """The result, and when each attempt began."""
    opened: list[float] = []
    worlds: list[World] = []

    def program(environment: StreamExecutionEnvironment) -> None:
        if strategy is not None:
            environment.set_restart_strategy(strategy)
        numbers = environment.from_source(ScriptedSource(script), uid="in")
        numbers.map(FailsAtZero(opened, lambda: worlds[0].clock.now_s if worlds else 0.0)).sink_to(TransactionalTarget[int]().sink(), uid="out")

    options = {"checkpoint.interval": timedelta(seconds=1000), **settings}
    result = simulate(program, seed=1, settings=options, observe=worlds.append)
    return result, opened


def waits(opened: list[float], before_failure_s: float = 0.0) -> list[int]:
    """Whole seconds from each failure to the attempt after it."""
    return [int(later - earlier - before_failure_s) for earlier, later in pairwise(opened)]


def test_without_restarts_the_first_failure_is_the_end() -> None:
    result, opened = run_failing([1, 0], RestartStrategies.no_restart())
    assert (result.status, result.restarts, len(opened)) == (JobStatus.FAILED, 0, 1)


def test_fixed_delay_restarts_so_often_and_waits_each_time() -> None:
    result, opened = run_failing([1, 0], RestartStrategies.fixed_delay(3, timedelta(seconds=10)))
    assert (result.status, result.restarts) == (JobStatus.FAILED, 3)
    assert waits(opened) == [10, 10, 10]


def test_failure_rate_gives_up_at_the_failure_that_is_one_too_many_in_the_interval() -> None:
    result, opened = run_failing([1, 0], RestartStrategies.failure_rate(4, timedelta(seconds=60), timedelta(seconds=5)))
    assert (result.status, result.restarts) == (JobStatus.FAILED, 4)
    assert waits(opened) == [5, 5, 5, 5]


def test_failure_rate_goes_on_while_failures_are_rare_enough() -> None:
    # Every 25 s one failure: three in any 60 s.
    rare = RestartStrategies.failure_rate(3, timedelta(seconds=60), timedelta(seconds=5))
    less = RestartStrategies.failure_rate(2, timedelta(seconds=60), timedelta(seconds=5))
    script = [1, Wait(20.0), 0]
    with pytest.raises(AssertionError, match="not at its end"):
        run_failing_for_ever(script, rare)
    result, _ = run_failing(script, less)
    assert (result.status, result.restarts) == (JobStatus.FAILED, 2)


def run_failing_for_ever(script: list[Any], strategy: Any) -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(strategy)
        numbers = environment.from_source(ScriptedSource(script), uid="in")
        numbers.map(lambda number: 1 // number).sink_to(TransactionalTarget[int]().sink(), uid="out")

    simulate(program, seed=1, settings={"checkpoint.interval": timedelta(seconds=1000)}, max_steps=3_000)


def test_exponential_delay_waits_longer_each_time_up_to_the_longest() -> None:
    strategy = RestartStrategies.exponential_delay(timedelta(seconds=1), timedelta(seconds=6), 2.0, timedelta(minutes=10), jitter=0.0)
    assert waits(run_until(strategy, 7)) == [1, 2, 4, 6, 6, 6]


def run_until(strategy: Any, attempts: int, script: list[Any] | None = None) -> list[float]:
    """When each of the first attempts of a job that always fails began."""
    opened: list[float] = []
    worlds: list[World] = []

    class Enough(Exception):
        pass

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(strategy)
        numbers = environment.from_source(ScriptedSource(script or [1, 0]), uid="in")
        numbers.map(FailsAtZero(opened, lambda: worlds[0].clock.now_s if worlds else 0.0)).sink_to(TransactionalTarget[int]().sink(), uid="out")

    def look(world: World) -> None:
        worlds.append(world)
        if len(opened) >= attempts:
            raise Enough

    with pytest.raises(Enough):
        simulate(program, seed=1, settings={"checkpoint.interval": timedelta(seconds=1000)}, observe=look)
    return opened


def test_exponential_delay_starts_again_after_a_quiet_time() -> None:
    strategy = RestartStrategies.exponential_delay(timedelta(seconds=1), timedelta(seconds=60), 2.0, timedelta(seconds=30), jitter=0.0)
    quick = waits(run_until(strategy, 4))
    slow = waits(run_until(strategy, 4, [1, Wait(40.0), 0]), before_failure_s=40.0)
    assert (quick, slow) == ([1, 2, 4], [1, 1, 1])


def test_jitter_makes_the_wait_longer_or_shorter_by_no_more_than_its_share() -> None:
    strategy = RestartStrategies.exponential_delay(timedelta(seconds=100), timedelta(seconds=100), 1.0, timedelta(hours=10), jitter=0.2)
    delays = waits(run_until(strategy, 8))
    assert all(79 <= delay <= 121 for delay in delays)
    assert len(set(delays)) > 3


def test_by_default_the_same_failure_three_times_without_a_checkpoint_in_between_is_the_end() -> None:
    result, opened = run_failing([1, 0])
    assert (result.status, result.restarts, len(opened)) == (JobStatus.FAILED, 2, 3)


def test_by_default_a_checkpoint_in_between_lets_the_same_failure_come_more_often() -> None:
    class FailsFourTimes(MapFunction[int, int]):
        def __deepcopy__(self, memo: object) -> FailsFourTimes:
            return self

        def __init__(self) -> None:
            self.left = 4

        def map(self, value: int) -> int:
            if value == 0 and self.left:
                self.left -= 1
                raise ValueError("a zero")
            return value

    def program(environment: StreamExecutionEnvironment) -> None:
        # More than a checkpoint interval passes before the failure, in every attempt.
        numbers = environment.from_source(ScriptedSource([1, Wait(5.0), 0, Wait(5.0), 2]), uid="in")
        numbers.map(function).sink_to(target.sink(), uid="out")

    function, target = FailsFourTimes(), TransactionalTarget[int]()
    result = simulate(program, seed=1, targets=[target], settings={"checkpoint.interval": timedelta(seconds=1)})
    assert (result.status, result.restarts) == (JobStatus.FINISHED, 4)
    assert target.visible() == [1, 0, 2]


def test_without_checkpoints_the_default_is_no_restart() -> None:
    result, opened = run_failing([1, 0], **{"checkpoint.interval": None, "checkpoint.storage": None})
    assert (result.status, len(opened)) == (JobStatus.FAILED, 1)


def test_an_error_while_a_sink_prepares_fails_the_task_and_not_only_the_checkpoint() -> None:
    target = TransactionalTarget[int]()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(1.0), 2]), uid="in").sink_to(target.sink(), uid="out")

    result = simulate(program, seed=1, targets=[target], faults=Faults(fail_at=("sink.prepare.before",)))
    assert (result.restarts, target.visible()) == (1, [1, 2])


def test_an_error_while_state_is_stored_fails_the_checkpoint_and_the_task_goes_on() -> None:
    target = TransactionalTarget[int]()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(1.0), 2]), uid="in").sink_to(target.sink(), uid="out")

    result = simulate(program, seed=1, targets=[target], faults=Faults(fail_at=("task.snapshot.upload_mid",)))
    assert (result.restarts, result.injected["failure"], target.visible()) == (0, 1, [1, 2])


# --- found by the simulation


def test_a_storage_that_fails_while_a_job_is_deployed_again_is_one_more_failure_and_no_standstill() -> None:
    """The failure of an attempt that had not begun was dropped, and the job waited for ever."""

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(RestartStrategies.fixed_delay(100, timedelta(seconds=1)))
        environment.from_source(ScriptedSource([1, Wait(0.5), 2]), uid="in").sink_to(target.sink(), uid="out")

    for seed in range(25):
        target = TransactionalTarget[int]()
        faults = Faults(fail_at=("sink.write.mid_epoch", "sink.write.mid_epoch"), storage_errors=4)
        result = simulate(program, seed=seed, targets=[target], faults=faults)
        assert (result.status, target.visible()) == (JobStatus.FINISHED, [1, 2]), result.replay


@pytest.mark.parametrize("faults", [Faults(storage_errors=3), Faults(storage_errors=4, crash_at=("job.cleanup",))], ids=repr)
def test_a_storage_that_fails_while_an_ended_job_is_cleaned_up_does_not_make_it_a_failed_one(faults: Faults) -> None:
    """It was called failed, and run again from its beginning."""
    for seed in range(40):
        target = TransactionalTarget[int]()

        def program(environment: StreamExecutionEnvironment, target: TransactionalTarget[int] = target) -> None:
            environment.from_source(ScriptedSource([1, 2]), uid="in").sink_to(target.sink(), uid="out")

        result = simulate(program, seed=seed, targets=[target], faults=faults)
        assert (result.status, target.visible()) == (JobStatus.FINISHED, [1, 2]), result.replay
