"""Whole jobs under every kind of fault: what a reader of the target sees is what a plain loop over the input gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from millstream import (
    JobStatus,
    KeyedProcessFunction,
    MapStateDescriptor,
    OutputTag,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.api.data_stream import DataStream
from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
from millstream.plugins import default_manager
from millstream.testing import (
    CRASH_POINTS,
    At,
    CrashPointReached,
    Faults,
    LedgerTarget,
    ScriptedSource,
    SimulationResult,
    Target,
    TransactionalTarget,
    Wait,
    simulate,
)

SPLITS, RECORDS_PER_SPLIT, WINDOW_MS = 4, 45, 50
LATE_MS = 30
"""How much out of order the records of one split are, at most."""

SEEDS = 17
MORE_SEEDS = 80
"""Seeds of each combination of job, parallelism and target."""

Reading = tuple[str, int]


def _split(number: int) -> list[Reading]:
    return [(f"key-{(7 * number + i) % 6}", i * 10 + (i * 37) % 25) for i in range(RECORDS_PER_SPLIT)]


READINGS = [reading for number in range(SPLITS) for reading in _split(number)]


def _script(number: int) -> list[Any]:
    script: list[Any] = []
    for index, reading in enumerate(_split(number)):
        script.append(At(reading[1], reading))
        if index % 9 == 8:
            script.append(Wait(0.05 + 0.03 * number))
    return script


SOURCE = ScriptedSource(*[_script(number) for number in range(SPLITS)], fetch_records=3)


def readings(environment: StreamExecutionEnvironment) -> DataStream[Reading]:
    strategy: WatermarkStrategy[Reading] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=LATE_MS))
    return environment.from_source(SOURCE, strategy, uid="in")


# --- the jobs, and what a plain loop makes of the same input


def highest_per_window(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    keyed = readings(environment).key_by(lambda reading: reading[0])
    windows = keyed.window(TumblingEventTimeWindows.of(timedelta(milliseconds=WINDOW_MS)))
    return windows.reduce(lambda a, b: max(a, b, key=lambda reading: reading[1]), uid="highest")


def highest_per_window_model() -> list[Any]:
    highest: dict[tuple[str, int], int] = {}
    for key, time in READINGS:
        window = key, time // WINDOW_MS
        highest[window] = max(time, highest.get(window, time))
    return [(key, time) for (key, _), time in highest.items()]


def running_counts(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    ones = readings(environment).map(lambda reading: (reading[0], 1))
    return ones.key_by(lambda one: one[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="counts")


def running_counts_model() -> list[Any]:
    totals = Counter(key for key, _ in READINGS)
    return [(key, number + 1) for key, total in totals.items() for number in range(total)]


class CountPerBucket(KeyedProcessFunction[str, Reading, tuple[str, int, int]]):
    """Counts in map state, and tells the count when the bucket's time is over."""

    def open(self, context: Any) -> None:
        self.counts = context.get_map_state(MapStateDescriptor("counts", int, int))
        self.records = context.get_state(ValueStateDescriptor("records", int))

    def process_element(self, value: Reading, ctx: Any, out: Any) -> None:
        end = value[1] // WINDOW_MS * WINDOW_MS + WINDOW_MS - 1
        self.counts.put(end, (self.counts.get(end) or 0) + 1)
        ctx.timer_service().register_event_time_timer(end)
        number = (self.records.value() or 0) + 1
        self.records.update(number)
        ctx.output(NUMBERED, (value[0], number))

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect((ctx.get_current_key(), timestamp, self.counts.get(timestamp)))
        self.counts.remove(timestamp)


NUMBERED: OutputTag[tuple[str, int]] = OutputTag("numbered")


def count_per_bucket(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    return readings(environment).key_by(lambda reading: reading[0]).process(CountPerBucket(), uid="buckets")


def count_per_bucket_model() -> list[Any]:
    counts = Counter((key, time // WINDOW_MS * WINDOW_MS + WINDOW_MS - 1) for key, time in READINGS)
    return [(key, end, count) for (key, end), count in counts.items()]


Job = Callable[[StreamExecutionEnvironment], DataStream[Any]]
JOBS: dict[str, tuple[Job, list[Any]]] = {
    "windows": (highest_per_window, sorted(highest_per_window_model())),
    "rolling": (running_counts, sorted(running_counts_model())),
    "timers": (count_per_bucket, sorted(count_per_bucket_model())),
}


def make_target(kind: str, seed: int) -> Target[Any]:
    """A target that answers as one in trouble now and then, on every other seed."""
    if kind == "two_phase_commit":
        return TransactionalTarget(busy=0.1 * (seed % 2), seed=seed)
    return LedgerTarget(busy=0.02 * (seed % 2), seed=seed, max_commit_records=(None, 3)[seed % 2])


def run(job: Job, target: Target[Any], parallelism: int, seed: int, faults: Faults, **settings: Any) -> SimulationResult:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(parallelism)
        job(environment).sink_to(target.sink(), uid="out")

    # The strategy without its default limit: a busy target may well give the same answer three times in a row.
    incremental = {"checkpoint.incremental_from": 0} if seed % 3 else {}
    options = {"checkpoint.interval": timedelta(milliseconds=20), "restart.strategy": "exponential_delay", **incremental, **settings}
    return simulate(program, seed=seed, faults=faults, targets=[target], settings=options)


def check(result: SimulationResult, target: Target[Any], expected: list[Any]) -> None:
    """The whole promise: everything once, nothing half done, nothing left behind."""
    assert result.status is JobStatus.FINISHED, f"{result.error!r}\n{result.replay}"
    assert sorted(target.visible()) == expected, result.replay
    assert target.leftovers() == [], result.replay
    if not result.injected["storage error"]:  # which may hit the very call that removes something
        assert [path for path in result.disk.files() if "/chk-" in path or "/shared/" in path] == [], result.replay


def sweep(name: str, parallelism: int, kind: str, seeds: range) -> Counter[str]:
    job, expected = JOBS[name]
    injected: Counter[str] = Counter()
    for number in seeds:
        seed = COMBINATIONS.index((name, parallelism, kind)) * 1_000 + number  # every combination meets faults of its own
        target = make_target(kind, seed)
        result = run(job, target, parallelism, seed, Faults.mixed(seed))
        check(result, target, expected)
        injected.update(result.injected)
    return injected


COMBINATIONS = [(name, parallelism, kind) for name in JOBS for parallelism in (1, 3) for kind in ("two_phase_commit", "write_ahead")]


@pytest.mark.parametrize(("name", "parallelism", "kind"), COMBINATIONS)
def test_every_result_is_visible_once_whatever_goes_wrong(name: str, parallelism: int, kind: str) -> None:
    injected = sweep(name, parallelism, kind, range(SEEDS))
    assert {"crash", "power loss", "failure", "lost", "late", "doubled", "lost request", "storage error"} <= set(injected)


@pytest.mark.faults
@pytest.mark.parametrize(("name", "parallelism", "kind"), COMBINATIONS)
def test_every_result_is_visible_once_over_many_seeds(name: str, parallelism: int, kind: str) -> None:
    sweep(name, parallelism, kind, range(SEEDS, SEEDS + MORE_SEEDS))


# --- every crash point by name

ONLY_TWO_PHASE = {"sink.prepare.mid", "recovery.before_abort", "recovery.mid_abort"}
ONLY_WRITE_AHEAD = {"sink.commit.mid"}
FAMILIES = ("sink.", "recovery.", "task.", "coordinator.", "checkpoint.", "source.", "end.", "job.")
ENGINE_POINTS = sorted(point for point in CRASH_POINTS if point.startswith(FAMILIES))


def run_until_crashed(job: Job, name: str, kind: str, faults: Faults, crashes: int) -> None:
    """Checks a few courses of events, up to the first in which all the crashes happened."""
    for seed in range(8):
        target = make_target(kind, seed=0)
        result = run(job, target, 3, seed, faults)
        check(result, target, JOBS[name][1])
        if result.injected["crash"] >= crashes:
            return
    pytest.fail(f"never reached: {result.replay}")


FIRST_CRASH = {
    # What only a restart passes needs one.
    "recovery.after_first_commit": "checkpoint.durable.before_notify",
    "recovery.mid_abort": "sink.write.mid_epoch#5",
    "task.restore.mid": "checkpoint.durable.before_notify",
}


@pytest.mark.parametrize("kind", ["two_phase_commit", "write_ahead"])
@pytest.mark.parametrize("point", ENGINE_POINTS)
def test_loss_of_power_at_a_crash_point_changes_nothing_that_a_reader_sees(point: str, kind: str) -> None:
    if point in (ONLY_WRITE_AHEAD if kind == "two_phase_commit" else ONLY_TWO_PHASE):
        return  # a moment that the protocol does not have
    crash_at = (FIRST_CRASH[point], point) if point in FIRST_CRASH else (point,)
    faults = Faults(crash_at=crash_at, power_loss=1.0, lost=0.4 if point == "sink.commit.between_epochs" else 0.0)
    run_until_crashed(count_per_bucket, "timers", kind, faults, crashes=len(crash_at))


FIRST = ["sink.prepare.after#5", "checkpoint.durable.before_notify#2", "checkpoint.notify.partial#2", "sink.commit.applied_no_ack#2"]
SECOND = ["recovery.after_first_commit", "recovery.after", "sink.commit.before", "sink.commit.applied_no_ack", "sink.commit.after"]


@pytest.mark.parametrize("kind", ["two_phase_commit", "write_ahead"])
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_a_second_crash_during_the_recovery_from_the_first_changes_nothing(first: str, second: str, kind: str) -> None:
    faults = Faults(crash_at=(first, second, second), power_loss=0.5)
    run_until_crashed(running_counts, "rolling", kind, faults, crashes=2)


def test_a_process_that_dies_when_it_has_noted_its_end_has_done_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    record_run = CompletedCheckpoints.record_run

    def record_and_die(self: CompletedCheckpoints, record: RunRecord) -> None:
        record_run(self, record)
        if record.status == "finished":
            raise CrashPointReached("about to exit")

    monkeypatch.setattr(CompletedCheckpoints, "record_run", record_and_die)
    target = make_target("two_phase_commit", seed=0)
    result = run(running_counts, target, 3, 0, Faults())
    check(result, target, JOBS["rolling"][1])
    assert (result.lives, result.injected["crash"]) == (1, 1)


# --- more than one sink


def test_two_sinks_of_a_job_each_show_everything_once() -> None:
    for seed in range(12):
        main, side = TransactionalTarget[Any](), LedgerTarget[Any]()

        def program(environment: StreamExecutionEnvironment, main: Any = main, side: Any = side) -> None:
            environment.set_parallelism(2)
            buckets = count_per_bucket(environment)
            buckets.sink_to(main.sink(), uid="main")
            buckets.get_side_output(NUMBERED).sink_to(side.sink(), uid="side")

        result = simulate(
            program, seed=seed, faults=Faults.mixed(seed), targets=[main, side], settings={"checkpoint.interval": timedelta(milliseconds=20)}
        )
        check(result, main, JOBS["timers"][1])
        check(result, side, JOBS["rolling"][1])


def test_files_of_the_exactly_once_file_sink_hold_every_result_once_after_losses_of_power() -> None:
    file_sink = default_manager().find("sink", "file").load()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(2)
        running_counts(environment).sink_to(file_sink("/out", format="json", delivery="exactly_once"), uid="out")

    for seed in range(16):
        result = simulate(program, seed=seed, faults=Faults.mixed(seed), settings={"checkpoint.interval": timedelta(milliseconds=20)})
        assert result.status is JobStatus.FINISHED, f"{result.error!r}\n{result.replay}"
        finished = [data for path, data in result.disk.files().items() if path.startswith("/out/") and "/." not in path]
        rows = sorted(tuple(json.loads(line)) for data in finished for line in data.splitlines())
        assert rows == JOBS["rolling"][1], result.replay
