"""Rolling operations on keyed streams: one updated result per input."""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import AggregateFunction, ProcessFunction, ReduceFunction, StreamExecutionEnvironment, WatermarkStrategy
from millstream.errors import InvalidArgument, JobFailedError


def environment(batch_size: int = 1000, parallelism: int = 1) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().configure("execution.batch_size", batch_size).set_parallelism(parallelism)


def keyed(rows: list[Any], batch_size: int = 1000) -> Any:
    return environment(batch_size).from_collection(rows).key_by(lambda row: row[0])


ROWS = [("a", 3, "x"), ("b", 5, "y"), ("a", 1, "z"), ("a", 1, "w"), ("b", 7, "v"), ("a", 9, "u")]


def test_reduce_emits_the_first_record_unchanged_then_every_update() -> None:
    calls: list[Any] = []

    def add(first: Any, second: Any) -> Any:
        calls.append((first, second))
        return (first[0], first[1] + second[1], second[2])

    assert list(keyed(ROWS).reduce(add).execute_and_collect()) == [
        ("a", 3, "x"), ("b", 5, "y"), ("a", 4, "z"), ("a", 5, "w"), ("b", 12, "v"), ("a", 14, "u"),
    ]  # fmt: skip
    assert calls[0] == (("a", 3, "x"), ("a", 1, "z"))
    assert len(calls) == 4


def test_reduce_takes_a_function_object() -> None:
    class Longest(ReduceFunction[str]):
        def reduce(self, first: str, second: str) -> str:
            return max(first, second, key=len)

    stream = environment().from_collection(["a", "bbb", "cc"]).key_by(lambda _: 0).reduce(Longest())
    assert list(stream.execute_and_collect()) == ["a", "bbb", "bbb"]


def test_reduce_to_none_keeps_none_as_the_value() -> None:
    stream = environment().from_collection([1, 2, 3]).key_by(lambda _: 0).reduce(lambda a, b: None if a == 1 else (a, b))
    assert list(stream.execute_and_collect()) == [1, None, (None, 3)]


def test_a_record_keeps_its_timestamp_through_reduce() -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp()))

    strategy: WatermarkStrategy[Any] = WatermarkStrategy.no_watermarks().with_timestamp_assigner(lambda n: n * 10)
    stream = environment().from_collection([3, 1, 2], strategy).key_by(lambda _: 0).reduce(operator.add).process(Look())
    assert list(stream.execute_and_collect()) == [(3, 30), (4, 10), (6, 20)]


def test_fold_starts_each_key_from_its_own_copy_of_the_initial_value() -> None:
    def append(collected: list[int], row: Any) -> list[int]:
        return [*collected, row[1]]

    assert list(keyed(ROWS).fold([], append).execute_and_collect()) == [[3], [5], [3, 1], [3, 1, 1], [5, 7], [3, 1, 1, 9]]


def test_a_fold_that_changes_its_accumulator_in_place_does_not_mix_keys() -> None:
    def append(collected: list[int], row: Any) -> list[int]:
        collected.append(row[1])
        return collected

    initial: list[int] = []
    rows = list(keyed(ROWS).fold(initial, append).map(sum).execute_and_collect())
    assert rows[-1] == 14
    assert initial == []


class Average(AggregateFunction[Any, tuple[int, int], float]):
    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add(self, value: Any, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator[0] + value[1], accumulator[1] + 1

    def get_result(self, accumulator: tuple[int, int]) -> float:
        return accumulator[0] / accumulator[1]


def test_aggregate_emits_the_result_after_every_record() -> None:
    assert list(keyed(ROWS).aggregate(Average()).execute_and_collect()) == [3.0, 5.0, 2.0, 5 / 3, 6.0, 3.5]


class Pair(NamedTuple):
    key: str
    n: int
    tag: str


@dataclass(frozen=True)
class Row:
    key: str
    n: int
    tag: str


class Packed(msgspec.Struct, frozen=True):
    key: str
    n: int
    tag: str


SHAPES: list[tuple[Any, int | str]] = [
    (lambda key, n, tag: (key, n, tag), 1),
    (lambda key, n, tag: (key, n, tag), -2),
    (lambda key, n, tag: [key, n, tag], 1),
    (lambda key, n, tag: {"key": key, "n": n, "tag": tag}, "n"),
    (Pair, "n"),
    (Pair, 1),
    (Row, "n"),
    (Packed, "n"),
]
EACH_SHAPE = pytest.mark.parametrize(("make", "field"), SHAPES, ids=["tuple", "tuple-2", "list", "dict", "named", "named[1]", "dataclass", "struct"])


def by_shape(make: Any, kind: str, field: Any) -> list[Any]:
    stream = environment().from_collection([make(*row) for row in ROWS])
    key = (lambda row: row["key"]) if isinstance(make(*ROWS[0]), dict) else (lambda row: row[0] if isinstance(row, tuple | list) else row.key)
    return list(getattr(stream.key_by(key), kind)(field).execute_and_collect())


@EACH_SHAPE
def test_sum_keeps_the_other_fields_of_the_first_record(make: Any, field: Any) -> None:
    wanted = [("a", 3, "x"), ("b", 5, "y"), ("a", 4, "x"), ("a", 5, "x"), ("b", 12, "y"), ("a", 14, "x")]
    assert by_shape(make, "sum", field) == [make(*row) for row in wanted]


@EACH_SHAPE
def test_min_updates_only_the_field(make: Any, field: Any) -> None:
    wanted = [("a", 3, "x"), ("b", 5, "y"), ("a", 1, "x"), ("a", 1, "x"), ("b", 5, "y"), ("a", 1, "x")]
    assert by_shape(make, "min", field) == [make(*row) for row in wanted]


@EACH_SHAPE
def test_max_updates_only_the_field(make: Any, field: Any) -> None:
    wanted = [("a", 3, "x"), ("b", 5, "y"), ("a", 3, "x"), ("a", 3, "x"), ("b", 7, "y"), ("a", 9, "x")]
    assert by_shape(make, "max", field) == [make(*row) for row in wanted]


@EACH_SHAPE
def test_min_by_gives_the_whole_record_and_the_first_of_equals(make: Any, field: Any) -> None:
    wanted = [("a", 3, "x"), ("b", 5, "y"), ("a", 1, "z"), ("a", 1, "z"), ("b", 5, "y"), ("a", 1, "z")]
    assert by_shape(make, "min_by", field) == [make(*row) for row in wanted]


@EACH_SHAPE
def test_max_by_gives_the_whole_record_and_the_first_of_equals(make: Any, field: Any) -> None:
    wanted = [("a", 3, "x"), ("b", 5, "y"), ("a", 3, "x"), ("a", 3, "x"), ("b", 7, "v"), ("a", 9, "u")]
    assert by_shape(make, "max_by", field) == [make(*row) for row in wanted]


def test_records_that_are_numbers_need_no_field() -> None:
    def rolling(kind: str) -> list[int]:
        return list(getattr(environment().from_collection([3, 1, 2]).key_by(lambda _: 0), kind)().execute_and_collect())

    assert [rolling(kind) for kind in ("sum", "min", "max", "min_by", "max_by")] == [[3, 4, 6], [3, 1, 1], [3, 3, 3], [3, 1, 1], [3, 3, 3]]


@pytest.mark.parametrize("field", [7, "missing"])
def test_a_field_that_records_do_not_have_is_named(field: Any) -> None:
    with pytest.raises(JobFailedError, match=r"\A(IndexError|TypeError|AttributeError)"):
        list(keyed(ROWS).sum(field).execute_and_collect())


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda k: k.reduce(3), "the function of reduce"),
        (lambda k: k.reduce(Average()), "the function of reduce"),
        (lambda k: k.fold(0, "f"), "the function of fold"),
        (lambda k: k.aggregate(lambda a: a), "the aggregate"),
        (lambda k: k.aggregate(Average), "the aggregate"),
    ],
)
def test_the_wrong_kind_of_function_is_refused_when_the_job_is_built(build: Any, what: str) -> None:
    with pytest.raises(InvalidArgument, match=what):
        build(keyed(ROWS))


ONE = st.tuples(st.sampled_from("abcde"), st.integers(-50, 50))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ONE, max_size=40), batch_size=st.sampled_from([1, 3, 1000]), parallelism=st.integers(1, 4))
def test_rolling_results_equal_a_plain_loop_per_key(rows: list[tuple[str, int]], batch_size: int, parallelism: int) -> None:
    wanted = defaultdict(list)
    totals: dict[str, int] = {}
    for key, n in rows:
        totals[key] = totals.get(key, 0) + n
        wanted[key].append((key, totals[key]))
    stream = environment(batch_size, parallelism).from_collection(rows).key_by(lambda row: row[0]).sum(1)
    got = defaultdict(list)
    for row in stream.execute_and_collect():
        got[row[0]].append(row)
    assert got == wanted
