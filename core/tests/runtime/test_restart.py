"""Failures and restarts in one process: state, timers and event time are exact behind the last checkpoint."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import (
    AggregateFunction,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    ProcessWindowFunction,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.errors import JobFailedError, UserFunctionFailed
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

NO_DELAY = RestartStrategies.fixed_delay(10, timedelta(0))
COUNT = 200


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


def environment(folder: Path, *, checkpoints: bool = True, parallelism: int = 1) -> StreamExecutionEnvironment:
    """In virtual time: a record each ms (`numbers`), a checkpoint every 10 ms."""
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism)
    if checkpoints:
        env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(NO_DELAY)
        env.checkpoint_config.set_checkpoint_storage(folder)
    return env


def numbers(env: StreamExecutionEnvironment, count: int = COUNT, strategy: WatermarkStrategy[Any] | None = None) -> Any:
    return env.generate(lambda index: index, count=count, rate_per_s=1000.0, watermark_strategy=strategy, uid="numbers")


class FailOnce:
    """A function that passes records, and raises at some of them the first time it sees them."""

    def __init__(self, *at: int) -> None:
        self.left = set(at)
        self.failures = 0

    def __call__(self, value: int) -> int:
        if value in self.left:
            self.left.remove(value)
            self.failures += 1
            raise ValueError(f"record {value}, the first time")
        return value


# --- state


class CountProcess(KeyedProcessFunction[int, int, Any]):
    """Counts in all three kinds of state."""

    def open(self, context: RuntimeContext) -> None:
        self.value = context.get_state(ValueStateDescriptor("value", int, 0))
        self.list = context.get_list_state(ListStateDescriptor("list", int))
        self.map = context.get_map_state(MapStateDescriptor("map", int, int))
        self.untyped = context.get_state(ValueStateDescriptor("untyped"))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        n = (self.value.value() or 0) + 1
        self.value.update(n)
        self.list.add(value)
        self.map.put(value, value)
        collected = self.untyped.value() or []
        collected.append(value)
        self.untyped.update(collected)
        assert len(list(self.list.get())) == len(dict(self.map.items())) == len(collected) == n
        out.collect((ctx.get_current_key(), n))


class CountAggregate(AggregateFunction[int, list[int], tuple[int, int]]):
    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator.append(value)  # in place: a snapshot that is still being written must not see it
        return accumulator

    def get_result(self, accumulator: list[int]) -> tuple[int, int]:
        return accumulator[0] % 5, len(accumulator)


COUNTERS: dict[str, Callable[[Any], Any]] = {
    "fold": lambda keyed: keyed.fold((0, 0), lambda acc, n: (n % 5, acc[1] + 1), uid="count"),
    "reduce": lambda keyed: keyed.reduce(lambda a, b: (*(a if isinstance(a, tuple) else (a % 5, 1))[:1], (a[1] if isinstance(a, tuple) else 1) + 1), uid="count"),
    "aggregate": lambda keyed: keyed.aggregate(CountAggregate(), uid="count"),
    "process": lambda keyed: keyed.process(CountProcess(), uid="count"),
}  # fmt: skip


@pytest.mark.parametrize("parallelism", [1, 2, 3])
@pytest.mark.parametrize("counter", COUNTERS)
def test_counts_are_exact_after_restarts(tmp_path: Path, counter: str, parallelism: int) -> None:
    env = environment(tmp_path, parallelism=parallelism)
    fail = FailOnce(57, 58, 130, 199)
    rows = COUNTERS[counter](numbers(env).map(fail).key_by(lambda n: n % 5)).execute_and_collect()
    last: dict[int, int] = {}
    for row in rows:
        if isinstance(row, tuple):
            last[row[0]] = row[1]
    assert last == dict.fromkeys(range(5), COUNT // 5)
    assert fail.failures == 4
    result = rows.result()
    assert result.restarts == 4
    assert result.checkpoints > 10


def test_only_records_behind_the_last_checkpoint_come_again(tmp_path: Path) -> None:
    seen: Counter[int] = Counter()

    def look(value: int) -> int:
        seen[value] += 1
        return value

    env = environment(tmp_path)
    list(numbers(env).map(look).map(FailOnce(100)).execute_and_collect())
    assert set(seen) == set(range(COUNT))
    assert all(seen[n] == 1 for n in [*range(80), *range(101, COUNT)])
    assert 1 <= sum(times == 2 for times in seen.values()) <= 15


def test_without_checkpoints_a_restart_begins_at_the_first_record(tmp_path: Path) -> None:
    env = environment(tmp_path, checkpoints=False).set_restart_strategy(NO_DELAY)
    rows = numbers(env, 20).map(FailOnce(10)).key_by(lambda n: 0).fold(0, lambda a, n: a + 1).execute_and_collect()
    assert list(rows) == [*range(1, 11), *range(1, 21)]
    assert rows.result().restarts == 1


def test_operator_list_state_survives_a_restart(tmp_path: Path) -> None:
    class Buffer(MapFunction[int, tuple[int, int]]):
        def open(self, context: RuntimeContext) -> None:
            self.seen = context.get_operator_list_state(ListStateDescriptor("seen", int))

        def map(self, value: int) -> tuple[int, int]:
            self.seen.add(value)
            return value, len(list(self.seen.get()))

    env = environment(tmp_path)
    rows = dict(numbers(env).map(FailOnce(90)).map(Buffer(), uid="buffer").execute_and_collect())
    assert rows == {n: n + 1 for n in range(COUNT)}


# --- time

MS: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)


class Windows(ProcessWindowFunction[int, Any, int, Any]):
    def process(self, key: int, context: Any, elements: Any) -> Iterator[Any]:
        yield key, context.window().start, tuple(elements)


@pytest.mark.parametrize("parallelism", [1, 3])
def test_windows_hold_every_record_once_after_restarts(tmp_path: Path, parallelism: int) -> None:
    env = environment(tmp_path, parallelism=parallelism)
    stream = numbers(env, strategy=MS).map(FailOnce(57, 130, 131)).set_parallelism(1)
    windows = stream.key_by(lambda n: n % 3).window(TumblingEventTimeWindows(20)).process(Windows(), uid="windows")
    results = set(windows.execute_and_collect())
    # A result may come twice, never with other contents.
    assert len(results) == len({row[:2] for row in results})
    assert sorted(n for row in results for n in row[2]) == list(range(COUNT))


def test_event_time_timers_survive_a_restart(tmp_path: Path) -> None:
    class Remind(KeyedProcessFunction[int, int, Any]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            if value % 10 == 0:
                ctx.timer_service().register_event_time_timer(value + 65)

        def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
            out.collect((ctx.get_current_key(), timestamp))

    env = environment(tmp_path)
    stream = numbers(env, strategy=MS).map(FailOnce(60, 120)).key_by(lambda n: n % 20).process(Remind(), uid="remind")
    assert set(stream.execute_and_collect()) == {(n % 20, n + 65) for n in range(0, COUNT, 10)}


def test_overdue_processing_time_timers_fire_at_once_after_a_restart(tmp_path: Path) -> None:
    """The job is down for an hour; the timer was due after 70 ms."""
    fired: list[int] = []

    class Remind(KeyedProcessFunction[int, int, Any]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            if value == 0:
                ctx.timer_service().register_processing_time_timer(ctx.timer_service().current_processing_time() + 70)

        def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
            fired.append(ctx.timer_service().current_processing_time() - timestamp)
            out.collect("fired")

    env = environment(tmp_path).set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(hours=1)))
    stream = numbers(env).map(FailOnce(60)).key_by(lambda n: 0).process(Remind(), uid="remind")
    assert list(stream.execute_and_collect()) == ["fired"]
    assert len(fired) == 1
    assert 3_500_000 < fired[0] < 3_600_100


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_record_that_was_late_before_the_crash_is_late_after_it(tmp_path: Path, parallelism: int) -> None:
    """Records 100 to 139 are of the first window. An engine that does not store watermarks would take some of them after the restart."""

    def event_time(index: int) -> int:
        return 5 if 100 <= index < 140 else index

    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(event_time)
    env = environment(tmp_path, parallelism=parallelism)
    stream = numbers(env, strategy=strategy).map(FailOnce(125)).set_parallelism(1)
    windows = stream.key_by(lambda n: 0).window(TumblingEventTimeWindows(10)).process(Windows(), uid="windows")
    rows = list(windows.execute_and_collect())
    assert [row for row in rows if row[1] == 0] == [(0, 0, tuple(range(10)))]
    assert sorted({n for row in rows for n in row[2]}) == [n for n in range(COUNT) if not 100 <= n < 140]


def test_a_timer_sees_the_restored_watermark_before_any_record(tmp_path: Path) -> None:
    seen: list[int] = []

    class Look(KeyedProcessFunction[int, int, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.first = True

        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            if self.first:
                seen.append(ctx.timer_service().current_watermark())
                self.first = False

    env = environment(tmp_path)
    list(numbers(env, strategy=MS).map(FailOnce(100)).key_by(lambda n: 0).process(Look(), uid="look").execute_and_collect())
    assert seen[0] == -(2**63)
    assert 80 < seen[1] < 100


# --- giving up


def always(value: int) -> int:
    raise ValueError("a bug does not heal")


def test_without_checkpoints_the_first_failure_ends_the_job(tmp_path: Path) -> None:
    env = environment(tmp_path, checkpoints=False)
    with pytest.raises(JobFailedError) as raised:
        list(numbers(env).map(always).execute_and_collect())
    assert raised.value.restarts == 0


def test_by_default_the_same_failure_three_times_without_progress_ends_the_job(tmp_path: Path) -> None:
    env = environment(tmp_path, checkpoints=False).enable_checkpointing(timedelta(milliseconds=10))
    env.checkpoint_config.set_checkpoint_storage(tmp_path)
    with pytest.raises(JobFailedError, match=r"\AValueError: a bug does not heal\n(.*\n)*Job 'millstream-job' failed after 2 restarts") as raised:
        list(numbers(env).map(lambda n: always(n) if n == 100 else n).execute_and_collect())
    assert raised.value.restarts == 2
    assert isinstance(raised.value.__cause__, UserFunctionFailed)
    assert raised.value.last_checkpoint is not None


def test_a_failure_after_each_checkpoint_is_no_endless_loop_of_the_same_failure(tmp_path: Path) -> None:
    env = environment(tmp_path, checkpoints=False).enable_checkpointing(timedelta(milliseconds=5))
    env.checkpoint_config.set_checkpoint_storage(tmp_path)
    fail = FailOnce(20, 60, 100, 140, 180)
    rows = numbers(env).map(fail).key_by(lambda n: 0).fold(0, lambda a, n: a + 1, uid="count").execute_and_collect()
    assert list(rows)[-1] == COUNT
    assert rows.result().restarts == 5


def test_fixed_delay_gives_up_after_its_attempts(tmp_path: Path) -> None:
    env = environment(tmp_path).set_restart_strategy(RestartStrategies.fixed_delay(2, timedelta(seconds=7)))
    with pytest.raises(JobFailedError) as raised:
        list(numbers(env).map(lambda n: always(n) if n == 50 else n).execute_and_collect())
    assert raised.value.restarts == 2


def test_no_restart_keeps_the_last_checkpoint_for_whoever_resumes(tmp_path: Path) -> None:
    env = environment(tmp_path).set_restart_strategy(RestartStrategies.no_restart())
    with pytest.raises(JobFailedError, match=r"Its last checkpoint is kept at .*/chk-\d+") as raised:
        list(numbers(env).map(FailOnce(50)).execute_and_collect())
    assert Path(raised.value.last_checkpoint or "", "_metadata").exists()


def test_each_failure_waits_for_the_delay_of_its_strategy(tmp_path: Path) -> None:
    env = environment(tmp_path).set_restart_strategy(RestartStrategies.fixed_delay(3, timedelta(seconds=7)))
    rows = numbers(env).map(FailOnce(50, 51, 52)).execute_and_collect()
    list(rows)
    assert 21 < rows.result().duration_s < 22


def test_state_of_each_key_is_restored_where_the_key_is_processed(tmp_path: Path) -> None:
    """Every subtask finds the counts of its own keys, and of no others."""
    env = environment(tmp_path, parallelism=3)
    counts = defaultdict(list)
    stream = numbers(env).map(FailOnce(150)).key_by(lambda n: f"key-{n % 17}").process(CountProcess(), uid="count")
    for key, n in stream.execute_and_collect():
        counts[key].append(n)
    assert len(counts) == 17
    for key, seen in counts.items():
        number = int(key.removeprefix("key-"))
        assert seen[-1] == len(range(number, COUNT, 17))
        assert set(seen) == set(range(1, seen[-1] + 1))


def test_at_least_once_mode_loses_nothing_and_may_count_twice(tmp_path: Path) -> None:
    env = environment(tmp_path, parallelism=2)
    env.checkpoint_config.set_checkpointing_mode("at_least_once")
    stream = numbers(env).rebalance().map(FailOnce(57, 130)).key_by(lambda n: n).fold(0, lambda a, n: a + 1, uid="count")
    rows = stream.execute_and_collect()
    assert sum(1 for n in rows if n == 1) >= COUNT
    assert rows.result().restarts == 2


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_union_of_two_sources_is_exact_after_restarts(tmp_path: Path, parallelism: int) -> None:
    """Barriers of both are aligned: neither is counted beyond the checkpoint."""
    env = environment(tmp_path, parallelism=parallelism)
    fast = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="fast")
    slow = env.generate(lambda index: 1000 + index, count=COUNT // 4, rate_per_s=250.0, uid="slow")
    united = fast.union(slow).map(FailOnce(57, 130, 1020)).set_parallelism(1)
    last: dict[int, int] = {}
    for key, n in united.key_by(lambda n: n % 5).fold((0, 0), lambda acc, n: (n % 5, acc[1] + 1), uid="count").execute_and_collect():
        last[key] = n
    assert last == dict.fromkeys(range(5), (COUNT + COUNT // 4) // 5)
