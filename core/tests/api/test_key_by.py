"""Keys: which are allowed, and that each is refused everywhere with the fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from millstream import (
    AggregateFunction,
    KeyedProcessFunction,
    KeySelector,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
)
from millstream.errors import InvalidArgument, JobFailedError, UnsupportedKey, UserFunctionFailed


class Colour(Enum):
    RED = 1
    BLUE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Sensor:
    name: str
    number: int


@dataclass
class Mutable:
    name: str


class Sum(AggregateFunction[Any, int, int]):
    def create_accumulator(self) -> int:
        return 0

    def add(self, value: Any, accumulator: int) -> int:
        return accumulator + 1

    def get_result(self, accumulator: int) -> int:
        return accumulator


class Count(KeyedProcessFunction[Any, Any, Any]):
    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect((ctx.get_current_key(), value))


TEN_MS = TumblingEventTimeWindows.of(timedelta(milliseconds=10))
KEYED: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda keyed: keyed.reduce(lambda a, b: b),
    "fold": lambda keyed: keyed.fold(0, lambda a, _: a + 1),
    "aggregate": lambda keyed: keyed.aggregate(Sum()),
    "process": lambda keyed: keyed.process(Count()),
    "window reduce": lambda keyed: keyed.window(TEN_MS).reduce(lambda a, b: b),
    "window aggregate": lambda keyed: keyed.window(TEN_MS).aggregate(Sum()),
}


def keyed_stream(keys: list[Any], parallelism: int = 1) -> Any:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda _: 5)
    # Records are the positions, so that nothing but the selector sees the key.
    return env.from_collection(range(len(keys)), strategy).key_by(lambda position: keys[position])


GOOD = [
    "text", 7, -(2**80), True, b"bytes", date(2024, 2, 29), datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2024, 2, 29, 12),  # noqa: DTZ001 - without a zone
    UUID(int=5), Colour.RED, ("a", 1, (2, b"c")), Point(1, 2), Sensor("s", 1), (), "",
]  # fmt: skip


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize("key", GOOD, ids=repr)
def test_every_allowed_kind_of_key_groups_records(key: Any, parallelism: int) -> None:
    assert list(keyed_stream([key, key, key], parallelism).process(Count()).execute_and_collect()) == [(key, 0), (key, 1), (key, 2)]


BAD = [
    (None, "NoneType"),
    (1.5, "float"),
    (float("nan"), "float"),
    (("a", 2.0), "float"),
    (("a", None), "NoneType"),
    ([1, 2], "list"),
    ({"a": 1}, "dict"),
    ({1}, "set"),
    (("a", [1]), "list"),
    (Mutable("x"), "Mutable"),
    (object(), "object"),
]


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("operation", KEYED)
@pytest.mark.parametrize(("key", "type_name"), BAD, ids=[repr(key)[:30].split(" at ")[0] for key, _ in BAD])
def test_a_key_that_cannot_be_one_is_refused_by_every_operation(key: Any, type_name: str, operation: str, parallelism: int) -> None:
    with pytest.raises(JobFailedError, match="cannot be used") as raised:
        list(KEYED[operation](keyed_stream([key], parallelism)).execute_and_collect())
    refusal = raised.value.__cause__
    assert isinstance(refusal, UnsupportedKey)
    assert type_name in refusal.type_name
    assert refusal.fix


@pytest.mark.parametrize("operation", KEYED)
def test_a_bad_key_behind_good_ones_is_refused_too(operation: str) -> None:
    with pytest.raises(JobFailedError) as raised:
        list(KEYED[operation](keyed_stream(["a", "b", None])).execute_and_collect())
    assert isinstance(raised.value.__cause__, UnsupportedKey)


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("operation", KEYED)
def test_a_key_selector_that_raises_shows_its_own_line(operation: str, parallelism: int) -> None:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda _: 5)
    # The map runs in a task of its own, so that with two subtasks the selector is called on the edge behind it.
    rows = env.from_collection([(1,), ()], strategy).map(lambda row: row).disable_chaining()
    stream = KEYED[operation](rows.key_by(lambda row: row[0]))
    with pytest.raises(JobFailedError, match=r"\AIndexError: tuple index out of range\n  .*test_key_by\.py:\d+ in <lambda>") as raised:
        list(stream.execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert failure.record == "()"


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_keys_that_compare_equal_are_one_key(parallelism: int) -> None:
    stream = keyed_stream([1, True, 1, 0, False], parallelism).fold(0, lambda count, _: count + 1)
    assert sorted(stream.execute_and_collect()) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("keys", [[1, 1.0], [1, Decimal(1)], [("a", 1), ("a", 1.0)]], ids=repr)
def test_a_key_of_a_refused_type_that_equals_one_seen_before_is_that_key_in_a_single_subtask_and_refused_by_more(keys: list[Any]) -> None:
    """A limit, not a promise: a look at the type of each key would cost every record."""
    one = keyed_stream(keys).process(Count()).execute_and_collect()
    assert list(one) == [(keys[0], 0), (keys[0], 1)]
    for refused, parallelism in ((keys, 2), (keys[::-1], 1), (keys[::-1], 2)):
        with pytest.raises(JobFailedError) as raised:
            list(keyed_stream(refused, parallelism).process(Count()).execute_and_collect())
        assert isinstance(raised.value.__cause__, UnsupportedKey)


def test_a_key_selector_object_gives_the_key() -> None:
    class First(KeySelector[tuple[str, int], str]):
        def get_key(self, value: tuple[str, int]) -> str:
            return value[0]

    stream = StreamExecutionEnvironment().from_collection([("a", 1), ("b", 2), ("a", 3)]).key_by(First()).process(Count())
    assert list(stream.execute_and_collect()) == [("a", ("a", 1)), ("b", ("b", 2)), ("a", ("a", 3))]


@pytest.mark.parametrize("selector", [3, "name", None])
def test_a_selector_that_is_no_function_is_refused_when_the_job_is_built(selector: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"the key selector is .*Give a function of the record, or a KeySelector"):
        StreamExecutionEnvironment().from_collection([1]).key_by(selector)


def test_a_declared_key_type_changes_no_result() -> None:
    env = StreamExecutionEnvironment()
    stream = env.from_collection(["a", "b", "a"]).key_by(lambda text: text, key_type=str).fold(0, lambda count, _: count + 1, output_type=int)
    assert list(stream.execute_and_collect()) == [1, 1, 2]
