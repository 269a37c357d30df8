"""The life of function objects: open, close, one object per subtask, accumulators and metrics."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from millstream import (
    Accumulator,
    AggregateFunction,
    FilterFunction,
    KeyedProcessFunction,
    MapFunction,
    ReduceFunction,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from millstream.errors import JobFailedError, NotCopyable

EVENTS: list[Any] = []
"""What the functions of a test did, in order. Functions are copied for each subtask, so they cannot keep it themselves."""


@pytest.fixture(autouse=True)
def _forget_events() -> None:
    EVENTS.clear()


class Recorded(MapFunction[int, int]):
    def __init__(self, name: str = "f", fail_at: int | None = None) -> None:
        self.name = name
        self.fail_at = fail_at

    def open(self, context: RuntimeContext) -> None:
        EVENTS.append((self.name, "open", context.subtask))

    def map(self, value: int) -> int:
        if value == self.fail_at:
            raise ValueError(value)
        EVENTS.append((self.name, value))
        return value

    def close(self) -> None:
        EVENTS.append((self.name, "close"))


def test_open_comes_before_the_first_record_and_close_after_the_last() -> None:
    list(StreamExecutionEnvironment().from_collection([1, 2]).map(Recorded()).execute_and_collect())
    assert EVENTS == [("f", "open", 0), ("f", 1), ("f", 2), ("f", "close")]


def test_close_is_called_once_also_after_a_failure() -> None:
    with pytest.raises(JobFailedError, match="ValueError: 2"):
        list(StreamExecutionEnvironment().from_collection([1, 2]).map(Recorded(fail_at=2)).execute_and_collect())
    assert EVENTS.count(("f", "close")) == 1
    assert EVENTS[-1] == ("f", "close")


def test_every_opened_function_is_closed_when_another_one_fails_to_open() -> None:
    class Refuses(MapFunction[int, int]):
        def open(self, context: RuntimeContext) -> None:
            raise ConnectionError("nobody listens")

        def map(self, value: int) -> int:
            return value

        def close(self) -> None:
            EVENTS.append("closed although open failed")

    stream = StreamExecutionEnvironment().from_collection([1]).map(Recorded("before")).map(Refuses(), name="lookup").map(Recorded("behind"))
    with pytest.raises(JobFailedError, match=r"\AConnectionError: nobody listens\n.*test_rich_functions\.py:\d+ in open") as raised:
        list(stream.execute_and_collect())
    assert "'lookup'" in str(raised.value)
    assert EVENTS == [("behind", "open", 0), "closed although open failed", ("behind", "close")]


def test_a_close_that_raises_keeps_no_other_function_open_and_does_not_hide_the_failure() -> None:
    class BadClose(MapFunction[int, int]):
        def map(self, value: int) -> int:
            raise KeyError("the real failure")

        def close(self) -> None:
            raise OSError("the second one")

    stream = StreamExecutionEnvironment().from_collection([1]).map(Recorded()).map(BadClose())
    with pytest.raises(JobFailedError, match="the real failure"):
        list(stream.execute_and_collect())
    assert ("f", "close") in EVENTS


def test_close_is_called_when_the_reader_of_the_results_leaves_early() -> None:
    env = StreamExecutionEnvironment()
    with env.generate(lambda index: index).map(Recorded()).execute_and_collect() as rows:
        assert next(rows) == 0
    assert EVENTS[-1] == ("f", "close")


def test_each_restart_opens_a_new_object_with_the_next_attempt_number() -> None:
    class FailsOnce(MapFunction[int, int]):
        def __init__(self) -> None:
            self.seen = 0

        def open(self, context: RuntimeContext) -> None:
            EVENTS.append(("attempt", context.attempt, "kept", self.seen))
            self.first = context.attempt == 0

        def map(self, value: int) -> int:
            self.seen += 1
            if self.first and value == 2:
                raise ValueError("once")
            return value

        def close(self) -> None:
            EVENTS.append("close")

    env = StreamExecutionEnvironment().set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
    list(env.from_collection([1, 2, 3]).map(FailsOnce()).execute_and_collect())
    assert EVENTS == [("attempt", 0, "kept", 0), "close", ("attempt", 1, "kept", 0), "close"]


@pytest.mark.parametrize("parallelism", [2, 3])
def test_each_subtask_has_a_function_object_of_its_own(parallelism: int) -> None:
    class Numbered(MapFunction[int, tuple[int, int]]):
        def __init__(self) -> None:
            self.seen = 0

        def open(self, context: RuntimeContext) -> None:
            self.subtask = context.subtask
            assert context.parallelism == parallelism

        def map(self, value: int) -> tuple[int, int]:
            self.seen += 1
            return self.subtask, self.seen

    mine = Numbered()
    env = StreamExecutionEnvironment()
    rows = list(env.from_collection(range(12)).rebalance().map(mine).set_parallelism(parallelism).execute_and_collect())
    each = 12 // parallelism
    assert sorted(rows) == [(subtask, n) for subtask in range(parallelism) for n in range(1, each + 1)]
    assert mine.seen == 0


def test_a_function_object_that_cannot_be_copied_is_refused_with_the_fix() -> None:
    class HoldsALock(MapFunction[int, int]):
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def map(self, value: int) -> int:
            return value

    with pytest.raises(JobFailedError, match=r"HoldsALock cannot be copied.*Make connections, locks and files in open\(\)") as raised:
        list(StreamExecutionEnvironment().from_collection([1]).map(HoldsALock()).execute_and_collect())
    assert isinstance(raised.value.__cause__, NotCopyable)


def test_the_runtime_context_tells_who_is_running() -> None:
    class Look(MapFunction[int, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.facts = (context.job_name, context.task_name, context.parallelism, context.max_parallelism, context.attempt)

        def map(self, value: int) -> Any:
            return self.facts

    env = StreamExecutionEnvironment().set_max_parallelism(64)
    assert list(env.from_collection([1]).map(Look(), name="look").execute_and_collect("who")) == [("who", "look", 1, 64, 0)]


@pytest.mark.parametrize("kind", ["filter", "reduce", "aggregate", "keyed process"])
def test_all_kinds_of_function_objects_are_opened_and_closed(kind: str) -> None:
    class Life:
        def open(self, context: RuntimeContext) -> None:
            EVENTS.append("open")

        def close(self) -> None:
            EVENTS.append("close")

    class Keep(Life, FilterFunction[int]):
        def filter(self, value: int) -> bool:
            return True

    class Add(Life, ReduceFunction[int]):
        def reduce(self, first: int, second: int) -> int:
            return first + second

    class Sum(Life, AggregateFunction[int, int, int]):
        def create_accumulator(self) -> int:
            return 0

        def add(self, value: int, accumulator: int) -> int:
            return accumulator + value

        def get_result(self, accumulator: int) -> int:
            return accumulator

    class Process(Life, KeyedProcessFunction[int, int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            out.collect(value)

    stream = StreamExecutionEnvironment().from_collection([1, 2])
    keyed = stream.key_by(lambda n: 0)
    built: Any = {
        "filter": lambda: stream.filter(Keep()),
        "reduce": lambda: keyed.reduce(Add()),
        "aggregate": lambda: keyed.aggregate(Sum()),
        "keyed process": lambda: keyed.process(Process()),
    }[kind]()
    assert len(list(built.execute_and_collect())) == 2
    assert EVENTS == ["open", "close"]


class Counting(MapFunction[int, int]):
    """Adds every record to accumulator `sum` and to metric `seen`."""

    sum: Accumulator[int]

    def open(self, context: RuntimeContext) -> None:
        self.sum = context.accumulator("sum", 0, lambda a, b: a + b)
        assert context.accumulator("sum", 0, lambda a, b: a + b) is self.sum
        self.largest = context.accumulator("largest", -1, max)
        self.seen = context.metrics.counter("seen")
        self.inner = context.metrics.add_group("inner").counter("odd")

    def map(self, value: int) -> int:
        self.sum.add(value)
        self.largest.add(value)
        self.seen.inc()
        self.inner.inc(value % 2)
        return value


@pytest.mark.parametrize("parallelism", [1, 3])
def test_accumulators_and_counters_are_totals_over_all_subtasks(parallelism: int) -> None:
    env = StreamExecutionEnvironment()
    stream = env.from_collection(range(10)).rebalance().map(Counting(), name="count").set_parallelism(parallelism)
    rows = stream.execute_and_collect()
    assert len(list(rows)) == 10
    result = rows.result()
    assert result.accumulators == {"sum": 45, "largest": 9}
    assert result.counts["count.seen"] == 10
    assert result.counts["count.inner.odd"] == 5
    assert result.counts["count.numRecordsIn"] == result.counts["count.numRecordsOut"] == 10


def test_two_operators_of_one_chain_add_to_one_accumulator() -> None:
    rows = StreamExecutionEnvironment().from_collection(range(10)).map(Counting(), name="a").map(Counting(), name="b").execute_and_collect()
    assert len(list(rows)) == 10
    assert rows.result().accumulators == {"sum": 90, "largest": 9}


def test_two_operators_of_different_tasks_add_to_one_accumulator() -> None:
    stream = StreamExecutionEnvironment().from_collection(range(10)).map(Counting(), name="a").map(Counting(), name="b").disable_chaining()
    rows = stream.execute_and_collect()
    assert len(list(rows)) == 10
    assert rows.result().accumulators == {"sum": 90, "largest": 9}


def test_execute_returns_the_totals() -> None:
    from millstream import DiscardingSink

    env = StreamExecutionEnvironment()
    env.from_collection(range(10)).map(Counting(), name="a").sink_to(DiscardingSink())
    result = env.execute("totals")
    assert (result.job_name, result.status.value, result.accumulators["sum"], result.restarts) == ("totals", "finished", 45, 0)
