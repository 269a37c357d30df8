"""`simulate` as its user sees it: one seed, one course of events; faults that are counted; failures that can be run again."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from millstream import JobStatus, RestartStrategies, StreamExecutionEnvironment
from millstream.runtime.job_manager import JobManager
from millstream.testing import Faults, LedgerTarget, ScriptedSource, SimulationFailed, SimulationResult, TransactionalTarget, Wait, World, simulate

WORDS = ["to", "be", "or", "not", "to", "be"] * 12
SCRIPTS = [[item for word in WORDS[part::3] for item in (word, Wait(0.02))] for part in range(3)]

PROGRAM = """
import logging
from millstream.testing import Faults, LedgerTarget, ScriptedSource, Wait, simulate

logging.disable(logging.CRITICAL)
scripts = {scripts}

def run(seed):
    target = LedgerTarget()
    def program(environment):
        environment.set_parallelism(3)
        counts = environment.from_source(ScriptedSource(*scripts), uid="in").map(lambda word: (word, 1))
        counts.key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count").sink_to(target.sink(), uid="out")
    return simulate(program, seed=seed, faults=Faults.mixed(seed), targets=[target]).trace_hash

for seed in range({seeds}):
    print(run(seed))
"""


def count_words(target: Any, parallelism: int = 1) -> Any:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(parallelism)
        pairs = environment.from_source(ScriptedSource(*SCRIPTS), uid="in").map(lambda word: (word, 1))
        pairs.key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count").sink_to(target.sink(), uid="out")

    return program


def run(seed: int, faults: Faults | None = None, **options: Any) -> SimulationResult:
    target = TransactionalTarget[Any]()
    return simulate(count_words(target, 2), seed=seed, faults=faults, targets=[target], **options)


def test_the_same_seed_takes_the_same_course() -> None:
    for seed in range(5):
        first, second = run(seed, Faults.mixed(seed)), run(seed, Faults.mixed(seed))
        assert first.trace_hash == second.trace_hash
        assert (first.virtual_s, first.steps, first.injected) == (second.virtual_s, second.steps, second.injected)


def test_another_seed_takes_another_course() -> None:
    assert len({run(seed).trace_hash for seed in range(8)}) == 8


def test_the_course_does_not_depend_on_the_hash_seed_of_the_interpreter() -> None:
    scripts = [[word for word in script if isinstance(word, str)] for script in SCRIPTS]
    program = PROGRAM.replace("{scripts}", repr(scripts)).replace("{seeds}", "4")
    outputs = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    (output,) = outputs
    assert len(set(output.split())) == 4


def test_time_is_virtual() -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(3600.0), 2]), uid="in").sink_to(target.sink(), uid="out")

    target = TransactionalTarget[int]()
    result = simulate(program, seed=1, targets=[target], settings={"checkpoint.interval": timedelta(minutes=1)})
    assert 3600 < result.virtual_s < 3700
    assert result.checkpoints >= 59
    assert target.visible() == [1, 2]


def test_a_run_without_faults_has_one_life_and_injects_nothing() -> None:
    result = run(3)
    assert (result.status, result.lives, result.restarts, dict(result.injected)) == (JobStatus.FINISHED, 1, 0, {})
    assert result.passed["task.snapshot.uploaded"] > 0


def test_a_named_crash_that_was_never_reached_shows_in_the_counts() -> None:
    result = run(3, Faults(crash_at=("sink.commit.mid",)))  # a transaction of this target has no middle
    assert result.injected["crash"] == 0


def test_named_crashes_end_one_life_each() -> None:
    result = run(3, Faults(crash_at=("sink.commit.before", "recovery.after", "task.notify.received#2")))
    assert result.lives == 4
    assert result.injected["crash at recovery.after"] == 1


def test_an_unknown_crash_point_is_named() -> None:
    with pytest.raises(ValueError, match=r"'sink.comit' is no crash point"):
        run(3, Faults(crash_at=("sink.comit",)))


def test_injected_failures_are_answered_by_restarts_within_the_life() -> None:
    result = run(3, Faults(fail_at=("sink.write.mid_epoch#3", "task.snapshot.sync#2")))
    assert (result.lives, result.restarts, result.injected["failure"]) == (1, 2, 2)


def test_lost_late_and_doubled_notifications_are_counted() -> None:
    result = run(3, Faults(lost=0.3, late=0.3, doubled=0.3), settings={"checkpoint.interval": timedelta(milliseconds=10)})
    assert min(result.injected[kind] for kind in ("lost", "late", "doubled")) > 0


def test_an_action_happens_once_at_its_moment() -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(100.0), 2]), uid="in").sink_to(target.sink(), uid="out")

    target = TransactionalTarget[int]()
    result = simulate(program, seed=1, targets=[target], at=[(7.5, JobManager.cancel)])
    assert result.status is JobStatus.CANCELED
    assert 7.5 <= result.virtual_s < 7.7


def test_an_observer_sees_every_step() -> None:
    moments: list[float] = []
    result = run(3, observe=lambda world: moments.append(world.clock.now_s))
    assert moments == sorted(moments)
    assert 0 < len(moments) <= result.steps + 1


def test_files_of_before_are_there_for_the_job() -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.read_text_file("/in/words.txt", uid="in").sink_to(target.sink(), uid="out")

    for seed in range(6):
        target = LedgerTarget[str]()
        simulate(program, seed=seed, faults=Faults(crashes=2), targets=[target], files={"/in/words.txt": b"to\nbe\n" * 20})
        assert sorted(target.visible()) == sorted(["to", "be"] * 20)


def test_a_job_that_fails_for_good_is_a_result_and_not_an_exception() -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(RestartStrategies.no_restart())
        environment.from_source(ScriptedSource([1, 0]), uid="in").map(lambda number: 1 // number).sink_to(target.sink(), uid="out")

    target = TransactionalTarget[int]()
    result = simulate(program, seed=1, targets=[target])
    assert result.status is JobStatus.FAILED
    assert "ZeroDivisionError" in str(result.error)


def test_a_run_that_does_not_end_says_how_to_run_it_again() -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.generate(lambda index: index, uid="in").sink_to(TransactionalTarget[int]().sink(), uid="out")

    with pytest.raises(SimulationFailed, match="after 500 steps") as failure:
        simulate(program, seed=77, faults=Faults(lost=0.5), max_steps=500)
    assert any("seed=77, faults=Faults(lost=0.5)" in note for note in failure.value.__notes__)


def test_an_observer_that_raises_ends_the_run_with_the_way_to_run_it_again() -> None:
    def never_more_than_one_second(world: World) -> None:
        assert world.clock.now_s < 0.3, "too late"

    with pytest.raises(AssertionError, match="too late") as failure:
        run(5, observe=never_more_than_one_second)
    assert any(note.startswith("replay: simulate(count_words") for note in failure.value.__notes__)


def test_a_job_without_checkpoints_runs_too() -> None:
    target = TransactionalTarget[Any]()
    result = simulate(count_words(target), seed=1, targets=[target], settings={"checkpoint.interval": None, "checkpoint.storage": None})
    assert len(target.visible()) == len(WORDS)
    assert result.disk.files() == {}
