"""ReducingState and AggregatingState as a keyed process function uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    KeyedProcessFunction,
    MapFunction,
    ReduceFunction,
    ReducingStateDescriptor,
    RuntimeContext,
    StreamExecutionEnvironment,
    ValueStateDescriptor,
)
from millstream.errors import InvalidArgument, JobFailedError, NoCurrentKey, NotKeyed, StateDeclaredTwice, StateIncompatible
from millstream.testing import OperatorHarness


class Longest(ReduceFunction[str]):
    def reduce(self, first: str, second: str) -> str:
        return max(first, second, key=len)


class Mean(AggregateFunction[int, list[int], float]):
    """Its accumulator is changed in place."""

    def create_accumulator(self) -> list[int]:
        return [0, 0]

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator[0] += value
        accumulator[1] += 1
        return accumulator

    def get_result(self, accumulator: list[int]) -> float:
        return accumulator[0] / accumulator[1]


MEAN = Mean()


def add(a: int, b: int) -> int:
    if b == 13:
        raise ValueError("unlucky")
    return a + b


class Both(KeyedProcessFunction[str, Any, Any]):
    """Gives the sum and the mean after each number: (key, number), None to clear."""

    def __init__(self, number: Any = int, numbers: Any = list[int]) -> None:
        self.number = number
        self.numbers = numbers

    def open(self, context: RuntimeContext) -> None:
        self.sum = context.get_reducing_state(ReducingStateDescriptor("sum", add, self.number))
        self.mean = context.get_aggregating_state(AggregatingStateDescriptor("mean", MEAN, self.numbers))

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        key, number = value
        if number is None:
            self.sum.clear()
            self.mean.clear()
        else:
            self.sum.add(number)
            self.mean.add(number)
        out.collect((key, self.sum.get(), self.mean.get()))


def harness(function: KeyedProcessFunction[Any, Any, Any], *saved: bytes, **options: Any) -> OperatorHarness:
    return OperatorHarness(lambda stream: stream.key_by(lambda row: row[0], key_type=str).process(function), restore=saved, **options)


def test_reducing_and_aggregating_state_apply_on_add_and_are_none_before_the_first() -> None:
    with harness(Both()) as running:
        running.process_all([("a", None), ("a", 1), ("b", 10), ("a", 2), ("a", None), ("a", 4)])
        assert running.values == [("a", None, None), ("a", 1, 1.0), ("b", 10, 10.0), ("a", 3, 1.5), ("a", None, None), ("a", 4, 4.0)]
        stored = [dict(running.operator._tables.table(d.spec)) for n, d in running.operator.keyed._declared.items() if n[0] != "@"]  # type: ignore[attr-defined]
        assert stored == [{"a": 4, "b": 10}, {"a": [4, 1], "b": [10, 1]}]


def test_a_reduce_function_may_be_an_object() -> None:
    class Words(KeyedProcessFunction[str, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.longest = context.get_reducing_state(ReducingStateDescriptor("longest", Longest(), str))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            self.longest.add(value[1])
            out.collect(self.longest.get())

    with harness(Words()) as running:
        running.process_all([("k", "to"), ("k", "three"), ("k", "be")])
        assert running.values == ["to", "three", "three"]


def test_an_add_that_raises_leaves_the_state_as_it_was() -> None:
    def job(rows: Any) -> Any:
        return StreamExecutionEnvironment().from_collection(rows).key_by(lambda row: row[0]).process(Both(), on_error="skip").execute_and_collect()

    assert list(job([("a", 1), ("a", 13), ("a", 2)])) == [("a", 1, 1.0), ("a", 3, 1.5)]


@settings(max_examples=50, deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.one_of(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 9))), st.tuples(st.just("restart"), st.booleans())),
        max_size=40,
    ),
)
def test_both_are_as_in_plain_lists_also_after_restores(typed: bool, steps: list[tuple[str, Any]]) -> None:
    """A restart may also declare types that were not there before."""
    added: dict[str, list[int]] = {}
    types: Any = {True: (int, list[int]), False: (None, None)}
    running = harness(Both(*types[typed]))
    for key, number in steps:
        if key == "restart":
            typed = typed or number
            saved = running.snapshot()
            running.close()
            running = harness(Both(*types[typed]), saved)
            continue
        added[key] = [*added.get(key, []), number] if number is not None else []
        running.process((key, number))
        numbers = added[key]
        assert running.take() == [(key, sum(numbers) if numbers else None, sum(numbers) / len(numbers) if numbers else None)]
    running.close()


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_keys_take_their_sums_along_to_another_parallelism(parallelism: int) -> None:
    keys = [str(number) for number in range(20)]
    with harness(Both()) as running:
        running.process_all([(key, int(key)) for key in keys])
        saved = running.snapshot()
    found = {}
    for subtask in range(parallelism):
        with harness(Both(), saved, subtask=subtask, parallelism=parallelism) as part:
            tables = {name: part.operator._tables.table(declared.spec) for name, declared in part.operator.keyed._declared.items()}  # type: ignore[attr-defined]
            assert not found.keys() & tables["sum"].keys()
            found.update(dict(tables["sum"]))
            assert {key: pair[0] for key, pair in tables["mean"].items()} == dict(tables["sum"])
    assert found == {key: int(key) for key in keys}


def test_a_state_of_another_kind_is_refused_at_the_restore() -> None:
    class Value(KeyedProcessFunction[str, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            context.get_state(ValueStateDescriptor("sum", int))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            raise AssertionError("no record is processed")

    with harness(Both()) as running:
        running.process(("a", 1))
        saved = running.snapshot()
    with pytest.raises(StateIncompatible, match="stored as reducing state and is declared as value state now"):
        harness(Value(), saved)


def test_keyed_state_only_after_key_by() -> None:
    class Early(MapFunction[int, int]):
        def __init__(self, ask: Callable[[RuntimeContext], Any]) -> None:
            self.ask = ask

        def open(self, context: RuntimeContext) -> None:
            self.ask(context)

        def map(self, value: int) -> int:
            return value

    for ask in (
        lambda context: context.get_reducing_state(ReducingStateDescriptor("s", add)),
        lambda context: context.get_aggregating_state(AggregatingStateDescriptor("s", MEAN)),
    ):
        with pytest.raises(JobFailedError) as raised:
            list(StreamExecutionEnvironment().from_collection([1]).map(Early(ask)).execute_and_collect())
        assert isinstance(raised.value.__cause__, NotKeyed)


def test_outside_of_a_record_there_is_no_key() -> None:
    function = harness(Both()).operator._function  # type: ignore[attr-defined]
    for use in (function.sum.get, function.mean.get, lambda: function.sum.add(1), lambda: function.mean.add(1), function.sum.clear):
        with pytest.raises(NoCurrentKey):
            use()


class Opened(ReduceFunction[int]):
    def open(self, context: RuntimeContext) -> None:
        """Would never be called."""

    def reduce(self, first: int, second: int) -> int:
        return first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReducingStateDescriptor("s", 5), "the function of reducing state 's' is 5"),
        (lambda: ReducingStateDescriptor("s", Longest), "Give a function of two values, or a ReduceFunction object"),
        (lambda: ReducingStateDescriptor("s", Opened()), r"Opened with open\(\).*neither opened nor closed"),
        (lambda: AggregatingStateDescriptor("s", add), "Give an AggregateFunction object"),  # type: ignore[arg-type]
    ],
)
def test_a_function_that_cannot_be_one_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_one_name_for_two_functions_is_refused() -> None:
    class Twice(KeyedProcessFunction[str, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            context.get_reducing_state(ReducingStateDescriptor("s", add, int))
            context.get_reducing_state(ReducingStateDescriptor("s", max, int))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            """Is never called."""

    with pytest.raises(StateDeclaredTwice):
        harness(Twice())
