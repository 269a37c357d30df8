"""Whole jobs that die and are started again at another parallelism each time: what a reader of the target sees is what a plain loop gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import cycle
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    JobStatus,
    KeyedProcessFunction,
    OutputTag,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
)
from millstream.api.data_stream import DataStream
from millstream.contracts.state_descriptors import (
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    ValueStateDescriptor,
)
from millstream.testing import At, Faults, LedgerTarget, ScriptedSource, SimulationResult, Target, TransactionalTarget, Wait, simulate

KEY_GROUPS, SPLITS, RECORDS_PER_SPLIT, BUCKET_MS, LATE_MS = 8, 3, 24, 40, 30
Reading = tuple[str, int]


def _split(number: int) -> list[Reading]:
    return [(f"key-{(5 * number + i) % 7}", i * 10 + (i * 37) % 25) for i in range(RECORDS_PER_SPLIT)]


READINGS = [reading for number in range(SPLITS) for reading in _split(number)]


def _script(number: int) -> list[Any]:
    script: list[Any] = []
    for index, reading in enumerate(_split(number)):
        script.append(At(reading[1], reading))
        if index % 6 == 5:
            script.append(Wait(0.04 + 0.02 * number))
    return script


SOURCE = ScriptedSource(*[_script(number) for number in range(SPLITS)], fetch_records=3)


class Highest(AggregateFunction[int, tuple[int, int], tuple[int, int]]):
    """The highest value, and how many there were."""

    def create_accumulator(self) -> tuple[int, int]:
        return -1, 0

    def add(self, value: int, accumulator: tuple[int, int]) -> tuple[int, int]:
        return max(value, accumulator[0]), accumulator[1] + 1

    def get_result(self, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator


class EveryKind(KeyedProcessFunction[str, Reading, Any]):
    """Keeps the readings of a key in each kind of state, tells at the end of each bucket what was in it, and in the end what it has.

    Processing-time timers count, for each key, until they have fired once for each bucket.
    """

    def open(self, context: Any) -> None:
        self.number = context.get_state(ValueStateDescriptor("number", int, 0))
        self.times = context.get_list_state(ListStateDescriptor("times", int))
        self.buckets = context.get_map_state(MapStateDescriptor("buckets", int, int))
        self.sum = context.get_reducing_state(ReducingStateDescriptor("sum", lambda a, b: a + b, int))
        self.highest = context.get_aggregating_state(AggregatingStateDescriptor("highest", Highest(), tuple[int, int]))
        self.read = context.accumulator("read", 0, lambda a, b: a + b)

    def process_element(self, value: Reading, ctx: Any, out: Any) -> None:
        key, time = value
        number = self.number.value() + 1
        self.number.update(number)
        self.times.add(time)
        self.sum.add(time)
        self.highest.add(time)
        end = time // BUCKET_MS * BUCKET_MS + BUCKET_MS - 1
        if not self.buckets.contains(end):
            ctx.timer_service().register_processing_time_timer(ctx.timer_service().current_processing_time() + 5)
        self.buckets.put(end, (self.buckets.get(end) or 0) + 1)
        ctx.timer_service().register_event_time_timer(end)
        self.read.add(1)
        ctx.output(NUMBERED, (key, number))

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        if ctx.time_domain() == "processing":
            ctx.output(TICKS, (ctx.get_current_key(), "tick"))
            return
        key = ctx.get_current_key()
        out.collect((key, timestamp, self.buckets.get(timestamp)))
        if timestamp == LAST[key]:
            highest, count = self.highest.get()
            out.collect((key, "end", sorted(self.times.get()), self.sum.get(), highest, count))


NUMBERED: OutputTag[Any] = OutputTag("numbered")
TICKS: OutputTag[Any] = OutputTag("ticks")
LAST = {key: max(time for other, time in READINGS if other == key) // BUCKET_MS * BUCKET_MS + BUCKET_MS - 1 for key, _ in READINGS}


def every_kind_of_state(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    buckets = keyed(environment).process(EveryKind(), uid="kinds")
    return buckets.union(buckets.get_side_output(NUMBERED), buckets.get_side_output(TICKS)).map(repr)


def every_kind_of_state_model() -> list[Any]:
    times = {key: sorted(time for other, time in READINGS if other == key) for key in LAST}
    counts = Counter((key, time // BUCKET_MS * BUCKET_MS + BUCKET_MS - 1) for key, time in READINGS)
    rows: list[Any] = [(key, end, count) for (key, end), count in counts.items()]
    rows += [(key, "end", all_, sum(all_), max(all_), len(all_)) for key, all_ in times.items()]
    rows += [(key, number + 1) for key, all_ in times.items() for number in range(len(all_))]
    return [repr(row) for row in rows]


def windows(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    assigner = TumblingEventTimeWindows.of(timedelta(milliseconds=BUCKET_MS))
    counted = keyed(environment).map(lambda reading: (*reading, 1)).key_by(lambda entry: entry[0])
    window = counted.window(assigner).allowed_lateness(timedelta(milliseconds=100))
    return window.reduce(lambda a, b: (a[0], max(a[1], b[1]), a[2] + b[2]), uid="windows").map(repr)


def windows_model() -> list[Any]:
    found: dict[tuple[str, int], tuple[str, int, int]] = {}
    for key, time in READINGS:
        _, highest, count = found.get((key, time // BUCKET_MS), (key, -1, 0))
        found[key, time // BUCKET_MS] = (key, max(highest, time), count + 1)
    return [repr(row) for row in found.values()]


def keyed(environment: StreamExecutionEnvironment) -> Any:
    strategy: WatermarkStrategy[Reading] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=LATE_MS))
    return environment.from_source(SOURCE, strategy, uid="in").key_by(lambda reading: reading[0])


JOBS: dict[str, tuple[Callable[[StreamExecutionEnvironment], DataStream[Any]], list[Any]]] = {
    "kinds": (every_kind_of_state, sorted(every_kind_of_state_model())),
    "windows": (windows, sorted(windows_model())),
}


def live(job: str, target: Target[Any], parallelisms: Iterator[int], seed: int, faults: Faults) -> SimulationResult:
    """Each life of the process has the next parallelism."""

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(next(parallelisms)).set_max_parallelism(KEY_GROUPS)
        JOBS[job][0](environment).sink_to(target.sink(), uid="out")

    incremental = {"checkpoint.incremental_from": 0} if seed % 2 else {}
    options = {"checkpoint.interval": timedelta(milliseconds=20), "restart.strategy": "exponential_delay", **incremental}
    return simulate(program, seed=seed, faults=faults, targets=[target], settings=options)


def check(result: SimulationResult, target: Target[Any], job: str) -> None:
    assert result.status is JobStatus.FINISHED, f"{result.error!r}\n{result.replay}"
    ticks = [row for row in target.visible() if row.endswith("'tick')")]
    assert sorted(row for row in target.visible() if row not in ticks) == JOBS[job][1], result.replay
    if job == "kinds":
        # At the end of the input processing-time timers that are still to come do not fire.
        buckets = Counter(key for key, _ in {(key, time // BUCKET_MS) for key, time in READINGS})
        assert all(count <= buckets[eval(row)[0]] for row, count in Counter(ticks).items()), result.replay  # noqa: S307 - our own repr
        assert result.accumulators["read"] <= len(READINGS), result.replay  # those of the last attempt alone
    assert target.leftovers() == [], result.replay


def target_of(kind: str, seed: int) -> Target[Any]:
    return (
        TransactionalTarget(busy=0.1 * (seed % 2), seed=seed) if kind == "two_phase_commit" else LedgerTarget(max_commit_records=(None, 3)[seed % 2])
    )


KINDS = ["two_phase_commit", "write_ahead"]
PLANNED = [(1, 2, 3, 1), (2, 5, 2), (4, 1), (8, 3, 7)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("parallelisms", PLANNED, ids=str)
def test_everything_is_there_once_however_the_parallelism_changes(job: str, kind: str, parallelisms: Sequence[int]) -> None:
    """Each life but the last dies between the moment a checkpoint is durable and the commit of what it covers."""
    points = ("checkpoint.durable.before_notify#2", "checkpoint.notify.partial", "sink.commit.before", "sink.commit.after")
    target = target_of(kind, 0)
    result = live(job, target, cycle(parallelisms), 3, Faults(crash_at=points[: len(parallelisms) - 1]))
    check(result, target, job)
    assert result.lives == len(parallelisms)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_life_of_more_subtasks_left_before_its_first_checkpoint_is_removed_by_one_of_fewer(kind: str) -> None:
    """The checkpoint that all three lives know of was taken at parallelism 2, so it knows of two lanes."""
    target = target_of(kind, 0)
    result = live("kinds", target, iter((2, 5, 1)), 1, Faults(crash_at=("checkpoint.durable.before_notify", "sink.prepare.after#4")))
    check(result, target, "kinds")
    assert result.lives == 3


def test_also_when_there_has_been_no_checkpoint_at_all() -> None:
    target = target_of("two_phase_commit", 0)
    result = live("kinds", target, iter((5, 1)), 1, Faults(crash_at=("sink.prepare.after#4",)))
    check(result, target, "kinds")
    assert result.lives == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(JOBS)), st.sampled_from(KINDS), st.lists(st.integers(1, KEY_GROUPS), min_size=2, max_size=5))
def test_every_result_is_visible_once_in_random_lives_at_random_parallelisms(seed: int, job: str, kind: str, parallelisms: list[int]) -> None:
    target = target_of(kind, seed)
    check(live(job, target, cycle(parallelisms), seed, Faults.mixed(seed)), target, job)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("job", JOBS)
def test_every_result_is_visible_once_over_many_seeds_and_parallelisms(job: str, kind: str) -> None:
    for seed in range(40):
        random = Random(f"{job}/{kind}/{seed}")
        target = target_of(kind, seed)
        check(live(job, target, iter(lambda random=random: random.randint(1, KEY_GROUPS), 0), seed, Faults.mixed(seed)), target, job)  # type: ignore[misc]
