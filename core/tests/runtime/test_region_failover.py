"""Region failover: what no channel connects with a failed task keeps running, and the results are exact all the same."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import JobStatus, MapFunction, RestartStrategies, RuntimeContext, StreamExecutionEnvironment
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.testing import TransactionalTarget

COUNT = 200


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


def environment(folder: Path | None, failover: str = "region") -> StreamExecutionEnvironment:
    """In virtual time: a checkpoint every 10 ms."""
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(2)
    env.set_restart_strategy(RestartStrategies.fixed_delay(10, timedelta(milliseconds=25)))
    env.configure("restart.failover", failover)
    if folder is not None:
        env.enable_checkpointing(timedelta(milliseconds=10))
        env.checkpoint_config.set_checkpoint_storage(folder)
    return env


class Notes:
    """What happens in all subtasks of a function."""

    def __init__(self, *at: int) -> None:
        self.left = set(at)
        self.opened: list[int] = []
        self.failed: list[int] = []

    def function(self) -> MapFunction[int, int]:
        """Passes values on, and raises the first time it sees some of them."""
        notes = self

        class Noted(MapFunction[int, int]):
            def open(self, context: RuntimeContext) -> None:
                self.subtask = context.subtask
                notes.opened.append(context.subtask)

            def map(self, value: int) -> int:
                if value in notes.left:
                    notes.left.remove(value)
                    notes.failed.append(self.subtask)
                    raise ValueError(f"record {value}, the first time")
                return value

        return Noted()


def forward_job(env: StreamExecutionEnvironment, *at: int) -> tuple[TransactionalTarget[int], Notes]:
    """Two regions: a source of its own, a map and a sink each."""
    target, notes = TransactionalTarget[int](), Notes(*at)
    numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers")
    numbers.map(notes.function(), uid="noted").sink_to(target.sink(), uid="out")
    return target, notes


@pytest.mark.parametrize("at", [(57,), (57, 58, 130), (1,), (199,)])
def test_only_the_region_of_the_failed_task_is_restarted(tmp_path: Path, at: tuple[int, ...]) -> None:
    env = environment(tmp_path)
    target, notes = forward_job(env, *at)
    result = env.execute()
    assert result.restarts == len(at)
    assert Counter(target.visible()) == Counter(range(COUNT))
    assert sorted(notes.opened[:2]) == [0, 1]
    assert notes.opened[2:] == notes.failed
    assert target.leftovers() == []


def test_with_full_failover_every_task_is_restarted(tmp_path: Path) -> None:
    env = environment(tmp_path, "full")
    target, notes = forward_job(env, 57, 130)
    assert env.execute().restarts == 2
    assert Counter(notes.opened) == {0: 3, 1: 3}
    assert Counter(target.visible()) == Counter(range(COUNT))


def test_a_keyed_exchange_makes_all_tasks_one_region(tmp_path: Path) -> None:
    env = environment(tmp_path)
    target, notes = TransactionalTarget[Any](), Notes(57)
    numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").map(notes.function(), uid="noted")
    numbers.key_by(lambda n: n % 5).fold(0, lambda total, n: total + 1, uid="count").sink_to(target.sink(), uid="out")
    assert env.execute().restarts == 1
    assert Counter(notes.opened) == {0: 2, 1: 2}
    assert Counter(target.visible()) == Counter(dict.fromkeys(range(1, COUNT // 5 + 1), 5))


def test_pipelines_without_a_channel_between_them_fail_apart(tmp_path: Path) -> None:
    env = environment(tmp_path)
    target, quiet, failing = TransactionalTarget[int](), Notes(), Notes(57)
    for name, notes in (("quiet", quiet), ("failing", failing)):
        numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid=name)
        shuffled = numbers.map(notes.function(), uid=f"{name}-noted").key_by(lambda n: n)
        shuffled.map(lambda n: n, uid=f"{name}-keyed").sink_to(target.sink(), uid=f"{name}-out")
    assert env.execute().restarts == 1
    assert Counter(quiet.opened) == {0: 1, 1: 1}
    assert Counter(failing.opened) == {0: 2, 1: 2}
    assert Counter(target.visible()) == Counter([*range(COUNT), *range(COUNT)])


def test_without_checkpoints_a_region_begins_at_its_first_record() -> None:
    env = environment(None)
    notes, seen = Notes(58), Counter[int]()
    numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").map(notes.function(), uid="noted")
    rows = numbers.execute_and_collect()
    seen.update(rows)
    assert rows.result().restarts == 1
    assert set(seen) == set(range(COUNT))
    again = {n for n, times in seen.items() if times == 2}
    assert again == set(range(58)) & {n for n in range(COUNT) if n % 2 == 58 % 2}


def test_a_savepoint_behind_the_restart_of_a_region_is_whole(tmp_path: Path) -> None:
    env = environment(tmp_path)
    target, _ = forward_job(env, 57)
    job = env.launch("job")
    assert job.job_manager is not None
    manager, answers = job.job_manager, list[Any]()
    job.start()
    job.run(lambda: manager.restarts == 1)
    manager.savepoint(str(tmp_path / "savepoints"), lambda path, error: answers.append(error or path))
    job.run()
    assert Counter(target.visible()) == Counter(range(COUNT))
    assert Path(answers[0], "_savepoint").exists()


def test_stop_while_a_region_waits_for_its_restart_ends_behind_it(tmp_path: Path) -> None:
    env = environment(tmp_path)
    target, notes = forward_job(env, 57)
    job = env.launch("job")
    assert job.job_manager is not None
    manager, answers = job.job_manager, list[Any]()
    job.start()
    job.run(lambda: manager.restarts == 1)
    manager.stop(done=lambda path, error: answers.append(error or path))
    job.run()
    assert (manager.status, len(notes.opened), len(answers)) == (JobStatus.SUSPENDED, 3, 1)
    assert Path(answers[0]).exists()
    assert 0 < len(target.visible()) == len(set(target.visible())) < COUNT
