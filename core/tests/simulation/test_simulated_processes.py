"""`simulate` with several processes, as its user sees it: one course for one seed, and faults that really happen."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from millstream import JobStatus, RestartStrategies, StreamExecutionEnvironment
from millstream.testing import Faults, LedgerTarget, ScriptedSource, SimulationResult, TransactionalTarget, Wait, simulate
from millstream.testing.transactional import TransactionalSink, TransactionalWriter

WORDS = ["to", "be", "or", "not", "to", "be"] * 12
SCRIPTS = [[item for word in WORDS[part::3] for item in (word, Wait(0.02))] for part in range(3)]
COUNTS = sorted((word, number + 1) for word, total in Counter(WORDS).items() for number in range(total))
SETTINGS = {"restart.strategy": "exponential_delay"}


def count_words(target: Any, parallelism: int = 3) -> Any:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(parallelism)
        pairs = environment.from_source(ScriptedSource(*SCRIPTS, fetch_records=2), uid="in").map(lambda word: (word, 1))
        pairs.key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count").sink_to(target.sink(), uid="out")

    return program


def run(seed: int, faults: Faults | None = None, processes: int | None = 3, **settings: Any) -> SimulationResult:
    """A run whose result is what a plain loop gives."""
    target = TransactionalTarget[Any]()
    result = simulate(count_words(target), seed=seed, faults=faults, processes=processes, targets=[target], settings={**SETTINGS, **settings})
    assert result.status is JobStatus.FINISHED, result.error
    assert sorted(target.visible()) == COUNTS
    return result


def test_without_faults_there_is_one_life_and_nothing_happens() -> None:
    result = run(3)
    assert (result.lives, result.restarts, dict(result.injected)) == (1, 0, {})
    assert result.checkpoints > 0


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_the_same_seed_takes_the_same_course_over_several_processes(processes: int) -> None:
    for seed in range(3):
        first, second = run(seed, Faults.mixed(seed), processes), run(seed, Faults.mixed(seed), processes)
        assert first.trace_hash == second.trace_hash
        assert (first.virtual_s, first.steps, first.injected) == (second.virtual_s, second.steps, second.injected)


def test_another_number_of_processes_is_another_course() -> None:
    assert len({run(1, processes=processes).trace_hash for processes in (None, 1, 2, 3)}) == 4


ALONE: dict[str, tuple[Faults, str]] = {
    "crash of a TaskManager": (Faults(task_manager_crashes=2), "task manager crash"),
    "its loss is noticed": (Faults(task_manager_crashes=2), "loss noticed"),
    "stop": (Faults(stops=2), "stop"),
    "stop for longer than the JobManager waits": (Faults(stops=4), "given up"),
    "takeover": (Faults(takeovers=1), "takeover"),
    "crash of the JobManager, or of all": (Faults(crashes=2), "crash"),
    "loss of power": (Faults(crashes=2, power_loss=1.0), "power loss"),
    "lost notification": (Faults(lost=0.5), "lost"),
    "late notification": (Faults(late=0.5), "late"),
    "doubled notification": (Faults(doubled=0.5), "doubled"),
    "lost request": (Faults(lost_requests=0.1), "lost request"),
    "late message": (Faults(late_messages=0.3), "late message"),
    "doubled message": (Faults(doubled_messages=0.5), "doubled message"),
    "storage error": (Faults(storage_errors=2), "storage error"),
    "failure of a task": (Faults(failures=2), "failure"),
}


@pytest.mark.parametrize("name", ALONE)
def test_each_kind_of_fault_happens_and_changes_nothing_that_a_reader_sees(name: str) -> None:
    faults, counted = ALONE[name]
    assert sum(run(seed, faults).injected[counted] for seed in range(12)) > 0


def test_a_task_manager_that_dies_alone_ends_the_attempt_and_not_the_program() -> None:
    result = run(5, Faults(task_manager_crash_at=("task.snapshot.uploaded#2", "sink.commit.before")))
    assert (result.lives, result.restarts) == (1, 2)
    assert result.injected["task manager crash at sink.commit.before"] == 1


def test_a_crash_of_the_program_alone_keeps_what_was_not_synced_and_its_task_managers_end_later() -> None:
    results = [run(seed, Faults(crash_at=("checkpoint.durable.before_notify",), power_loss=0.0)) for seed in range(6)]
    assert all(result.lives == 2 for result in results)


def test_a_program_that_was_taken_for_dead_changes_nothing_when_it_wakes_up() -> None:
    woken = sum(run(seed, Faults(takeovers=1)).lives == 2 for seed in range(20))
    assert woken > 5


def test_the_line_that_runs_it_again_names_the_processes() -> None:
    assert run(3, processes=2).replay.endswith("faults=Faults(), processes=2)")


def test_checkpoints_in_the_memory_of_the_program_serve_its_task_managers() -> None:
    storage = {"checkpoint.storage": "memory"}
    results = [run(seed, Faults(task_manager_crashes=2, lost=0.2), **storage) for seed in range(6)]
    assert sum(result.restarts for result in results) > 0


def test_functions_share_nothing_between_processes_and_targets_are_servers() -> None:
    seen: list[str] = []
    target = LedgerTarget[Any]()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource(["to", "be"]), uid="in").map(lambda word: (seen.append(word), word)[1]).sink_to(
            target.sink(), uid="out"
        )

    simulate(program, seed=1, processes=1, targets=[target])
    assert (seen, target.visible()) == ([], ["to", "be"])


def test_what_cannot_travel_fails_the_job_with_its_name() -> None:
    lock = threading.Lock()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(RestartStrategies.no_restart())
        environment.from_source(ScriptedSource([1]), uid="in").map(lambda number: lock.locked()).sink_to(target.sink(), uid="out")

    target = TransactionalTarget[int]()
    result = simulate(program, seed=1, processes=1, targets=[target])
    assert result.status is JobStatus.FAILED
    assert "lock" in str(result.error)


# --- what the simulation of processes found in the engine


@pytest.mark.parametrize("processes", [None, 2])
def test_messages_that_all_come_twice_change_nothing(processes: int | None) -> None:
    """Splits would be read twice, a task that has ended would be taken for one that runs, an old trigger would begin a checkpoint anew."""
    faults = Faults(doubled_messages=1.0, doubled=1.0, late_messages=0.2)
    for seed in range(8):
        assert run(seed, faults, processes, **{"checkpoint.interval": timedelta(milliseconds=20)}).injected["doubled message"] > 10


def test_a_trigger_that_comes_again_begins_no_checkpoint_again() -> None:
    prepared: list[int] = []

    class Writer(TransactionalWriter[int]):
        def prepare(self, checkpoint_id: int) -> bytes | None:
            prepared.append(checkpoint_id)
            return super().prepare(checkpoint_id)

    class Sink(TransactionalSink[int]):
        def open(self, context: Any) -> Writer:
            return Writer(self.target, context)

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(1.0), 2]), uid="in").sink_to(Sink(target), uid="out")

    target = TransactionalTarget[int]()
    simulate(program, seed=1, faults=Faults(doubled_messages=1.0), targets=[target], settings={"checkpoint.interval": timedelta(milliseconds=20)})
    assert prepared == sorted(set(prepared))
    assert len(prepared) > 10


def test_the_newest_leader_fences_again_when_its_predecessor_has_fenced_it() -> None:
    """The predecessor stood still in the start of an attempt and went on behind the start of ours."""
    target = LedgerTarget[Any]()

    def fence(_: object) -> None:
        target.fence("out", 1)

    result = simulate(count_words(target), seed=1, targets=[target], at=[(0.2, fence)], settings=SETTINGS)
    assert (result.status, result.restarts) == (JobStatus.FINISHED, 1)
    assert sorted(target.visible()) == COUNTS


def test_what_a_lost_task_manager_had_half_written_is_gone_when_the_job_is_over() -> None:
    settings = {"checkpoint.incremental_from": 0, "checkpoint.interval": timedelta(milliseconds=20)}
    torn = 0
    for seed in range(25):
        result = run(seed, Faults(task_manager_crashes=3), processes=2, **settings)
        torn += result.injected["task manager crash at storage"]
        assert [path for path in result.disk.files() if "/chk-" in path or "/shared/" in path] == [], result.replay
    assert torn > 5


def test_a_storage_that_a_task_manager_cannot_reach_is_tried_again() -> None:
    """It was taken for a fault of the job's own code, which no restart would mend."""
    assert all(run(seed, Faults(storage_errors=12)).status is JobStatus.FINISHED for seed in range(25))
