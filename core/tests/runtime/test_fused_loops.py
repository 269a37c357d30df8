"""Operators that share a loop against the same operators one after the other."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    DataStream,
    DeadLetterRecord,
    MapFunction,
    ProcessFunction,
    StreamExecutionEnvironment,
    WatermarkStrategy,
    dead_letter,
)
from millstream.api.sinks import CollectSink
from millstream.errors import JobFailedError, UnsupportedKey, UserFunctionFailed
from millstream.runtime.operators.loops import FusedOperators

Value = tuple[str, int]
"""A key and a number."""


class Refused(Exception):
    """What the functions below raise on some numbers."""


def picky(number: int, refuses: int) -> None:
    if number % 7 == refuses:
        raise Refused(f"{number} is {refuses} too many")


class Total(AggregateFunction[Value, Value, Value]):
    """Sums up, and refuses some numbers when they are added, others when the result is asked for."""

    def create_accumulator(self) -> Value:
        return ("", 0)

    def add(self, value: Value, accumulator: Value) -> Value:
        picky(value[1], 3)
        return value[0], accumulator[1] + value[1]

    def get_result(self, accumulator: Value) -> Value:
        picky(accumulator[1], 4)
        return accumulator


def raise_if(refuses: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        picky(values[-1][1], refuses)
        return function(*values)

    return checked


Step = Callable[[DataStream[Any], dict[str, Any]], DataStream[Any]]
"""Adds one operator; the options say what becomes of records on which it raises."""

STEPS: dict[str, Step] = {
    "map": lambda s, o: s.map(raise_if(1, lambda v: (v[0], v[1] + 1)), **o),
    "filter": lambda s, o: s.filter(raise_if(2, lambda v: v[1] % 3), **o),
    "filter more": lambda s, o: s.filter(lambda v: v[1] % 5 < 4, **o),
    "reduce": lambda s, o: s.key_by(lambda v: v[0]).reduce(raise_if(5, lambda a, b: (a[0], a[1] + b[1])), **o),
    "fold": lambda s, o: s.key_by(lambda v: v[0]).fold(("", 0), raise_if(6, lambda a, b: (b[0], a[1] - b[1])), **o),
    "aggregate": lambda s, o: s.key_by(lambda v: v[0]).aggregate(Total(), **o),
}


@dataclass
class Outcome:
    """Everything that a job shows: its output, what it set aside, what it counted."""

    output: list[Any]
    letters: list[str]
    counts: dict[str, int]


class WithTime(ProcessFunction[Any, Any]):
    """Makes the timestamp part of the record."""

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect((value, ctx.timestamp()))


def build(steps: list[str], values: list[Value], *, policy: Any, stamped: bool, fused: bool, batch_size: int) -> DataStream[Any]:
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size)
    strategy: WatermarkStrategy[Value] = WatermarkStrategy.no_watermarks()
    if stamped:
        strategy = WatermarkStrategy[Value].for_monotonous_timestamps().with_timestamp_assigner(lambda value: 1000 + value[1])
    stream: DataStream[Any] = env.from_collection(values, strategy)
    for index, step in enumerate(steps):
        stream = STEPS[step](stream, {"name": f"{index}", "on_error": policy})
        if not fused:
            stream.disable_chaining()
    return stream.process(WithTime())


def run(steps: list[str], values: list[Value], *, policy: str = "dead_letter", stamped: bool, fused: bool, batch_size: int = 1000) -> Outcome:
    letters: deque[DeadLetterRecord] = deque()
    on_error = dead_letter(CollectSink(letters)) if policy == "dead_letter" else policy
    rows = build(steps, values, policy=on_error, stamped=stamped, fused=fused, batch_size=batch_size).execute_and_collect()
    output = list(rows)
    counts = {name: count for name, count in rows.result().counts.items() if name[0].isdigit()}
    # Which of two operators sets aside first depends on whose turn it is: the order of letters is no promise.
    return Outcome(output, sorted(f"{letter.record} {letter.error}" for letter in letters), counts)


CHAINS = st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=5)
VALUES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-30, 30)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(CHAINS, VALUES, st.sampled_from(["skip", "dead_letter"]), st.booleans(), st.sampled_from([1, 3, 1000]))
def test_a_shared_loop_shows_what_the_operators_show_one_after_the_other(
    steps: list[str], values: list[Value], policy: str, stamped: bool, batch_size: int
) -> None:
    fused = run(steps, values, policy=policy, stamped=stamped, fused=True, batch_size=batch_size)
    assert fused == run(steps, values, policy=policy, stamped=stamped, fused=False)


@settings(max_examples=60, deadline=None)
@given(CHAINS, VALUES, st.booleans())
def test_the_job_fails_on_the_first_record_that_fails_anywhere(steps: list[str], values: list[Value], stamped: bool) -> None:
    first = next((n for n in range(len(values) + 1) if run(steps, values[:n], stamped=stamped, fused=False).letters), None)
    rows = build(steps, values, policy="fail", stamped=stamped, fused=True, batch_size=1000).execute_and_collect()
    if first is None:
        list(rows)
        return
    with pytest.raises(JobFailedError) as raised:
        list(rows)
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert [f"{failure.record} {failure.error}"] == run(steps, values[:first], stamped=stamped, fused=False).letters


def refuse_two(value: int) -> int:
    if value == 2:
        raise Refused("no two")
    return value


def test_neighbours_in_a_chain_share_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all the others compare would be the same path twice otherwise."""
    shared: list[int] = []
    create = FusedOperators.__init__

    def counted(self: FusedOperators, operators: Any) -> None:
        shared.append(len(operators))
        create(self, operators)

    monkeypatch.setattr(FusedOperators, "__init__", counted)
    run(["map", "filter", "reduce", "map"], [("a", 3)], stamped=False, fused=True)
    assert shared == [4]
    run(["map", "filter", "reduce", "map"], [("a", 3)], stamped=False, fused=False)
    assert shared == [4]


def test_a_record_goes_through_all_functions_before_the_next_one() -> None:
    calls: list[Any] = []

    def note(name: str) -> Callable[[int], int]:
        def called(value: int) -> int:
            calls.append((name, value))
            return value

        return called

    stream = StreamExecutionEnvironment().from_collection([1, 2]).map(note("first")).map(note("second"))
    assert list(stream.execute_and_collect()) == [1, 2]
    assert calls == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_the_error_names_the_operator_the_function_and_the_value_that_it_was_given() -> None:
    stream = StreamExecutionEnvironment().from_collection([0, 1, 2]).map(lambda n: n + 1, name="one").map(refuse_two, name="two")
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert (failure.operator, failure.function, failure.record, failure.error) == ("two", "refuse_two", "2", "Refused: no two")
    assert "in refuse_two" in failure.line
    assert "for v in rest" not in failure.traceback


def test_a_key_selector_that_raises_is_named_itself() -> None:
    stream = StreamExecutionEnvironment().from_collection([1, 2]).map(lambda n: n).key_by(refuse_two).reduce(max)
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert failure.function == "refuse_two"


def test_a_debugger_sees_the_lines_of_the_loop() -> None:
    stream = StreamExecutionEnvironment().from_collection([1, 2]).map(lambda n: n).map(refuse_two)
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect())
    cause = raised.value.__cause__
    assert cause is not None
    assert cause.__cause__ is not None
    lines = [frame.line for frame in traceback.extract_tb(cause.__cause__.__traceback__)]
    assert "v = function1(v)" in lines


@pytest.mark.parametrize("key", [None, 1.5, []])
def test_a_key_that_cannot_be_one_is_refused_in_a_shared_loop_too(key: Any) -> None:
    stream = StreamExecutionEnvironment().from_collection([1]).map(lambda n: n).key_by(lambda n: key).reduce(max)
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect())
    assert isinstance(raised.value.__cause__, UnsupportedKey)


class Opened(MapFunction[int, int]):
    def open(self, context: Any) -> None:
        self.seen = context.accumulator("seen", 0, int.__add__)

    def map(self, value: int) -> int:
        self.seen.add(1)
        return value


def test_rich_functions_are_opened_in_a_shared_loop_too() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1, 2, 3]).map(Opened()).filter(lambda n: n > 1).map(Opened()).print()
    assert env.execute("opened").accumulators["seen"] == 5
