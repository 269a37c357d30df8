"""on_error of operators: fail, skip, dead letter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from millstream import (
    DeadLetterRecord,
    KeyedProcessFunction,
    MapFunction,
    ProcessFunction,
    StreamExecutionEnvironment,
    WatermarkStrategy,
    dead_letter,
)
from millstream.api.sinks import CollectSink
from millstream.errors import InvalidArgument, JobFailedError, UserFunctionFailed

VALUES = [4, 0, 2, 0, 1]


class Divide(ProcessFunction[int, int]):
    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        out.collect(value)
        out.collect(8 // value)


class DivideKeyed(KeyedProcessFunction[int, int, int]):
    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        out.collect(value)
        out.collect(8 // value)


def divide(n: int) -> int:
    return 8 // n


Build = Callable[..., Any]
OPERATORS: list[tuple[str, Build, list[int]]] = [
    ("map", lambda s, **o: s.map(divide, **o), [2, 4, 8]),
    ("filter", lambda s, **o: s.filter(divide, **o), [4, 2, 1]),
    ("flat_map", lambda s, **o: s.flat_map(lambda n: [n, divide(n)], **o), [4, 2, 2, 4, 1, 8]),
    ("process", lambda s, **o: s.process(Divide(), **o), [4, 2, 2, 4, 1, 8]),
    ("keyed process", lambda s, **o: s.key_by(lambda n: 1).process(DivideKeyed(), **o), [4, 2, 2, 4, 1, 8]),
    ("reduce", lambda s, **o: s.key_by(lambda n: 1).reduce(lambda a, b: a + divide(b) * 0 + b, **o), [4, 6, 7]),
    ("fold", lambda s, **o: s.key_by(lambda n: 1).fold(0, lambda a, n: a + divide(n), **o), [2, 6, 14]),
]
EACH = pytest.mark.parametrize(("build", "good"), [(build, good) for _, build, good in OPERATORS], ids=[name for name, _, _ in OPERATORS])


def environment(batch_size: int = 1000) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().configure("execution.batch_size", batch_size)


@EACH
def test_by_default_the_job_fails_and_names_the_record(build: Build, good: list[int]) -> None:
    with pytest.raises(JobFailedError, match=r"\AZeroDivisionError") as raised:
        list(build(environment().from_collection(VALUES)).execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert failure.record == "0"


@EACH
@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_skip_drops_the_record_with_all_it_made_and_counts_it(build: Build, good: list[int], batch_size: int) -> None:
    env = environment(batch_size)
    rows = build(env.from_collection(VALUES), name="op", on_error="skip").execute_and_collect()
    assert list(rows) == good
    assert rows.result().counts["op.numRecordsFailed"] == 2


@EACH
@pytest.mark.parametrize("batch_size", [2, 1000])
def test_dead_letter_sets_the_record_aside_with_its_error(build: Build, good: list[int], batch_size: int) -> None:
    letters: deque[DeadLetterRecord] = deque()
    env = environment(batch_size)
    stream = build(env.from_collection(VALUES), uid="op", on_error=dead_letter(CollectSink(letters)))
    assert list(stream.execute_and_collect()) == good
    assert [letter.record for letter in letters] == ["0", "0"]
    assert {letter.operator for letter in letters} == {"op"}
    assert all(letter.error.startswith("ZeroDivisionError: ") for letter in letters)


@EACH
def test_timestamps_stay_with_their_records_when_others_are_skipped(build: Build, good: list[int]) -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect(ctx.timestamp())

    env = environment()
    source = env.from_collection([(n, at) for at, n in enumerate(VALUES)], WatermarkStrategy.no_watermarks().with_timestamp_assigner(lambda p: p[1]))
    stream = build(source.map(lambda pair: pair[0]), on_error="skip").process(Look())
    each = len(good) // 3
    assert list(stream.execute_and_collect()) == [at for at in (0, 2, 4) for _ in range(each)]


def test_a_function_that_returns_none_is_no_failure() -> None:
    rows = environment().from_collection([1, 2]).map(lambda n: None, name="op", on_error="skip").execute_and_collect()
    assert list(rows) == [None, None]
    assert rows.result().counts["op.numRecordsFailed"] == 0


def test_a_dead_letter_needs_its_own_uid_only_where_the_operator_has_none() -> None:
    env = environment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    letters: deque[DeadLetterRecord] = deque()
    stream = env.from_collection([1, 0], uid="in").map(divide, on_error=dead_letter(CollectSink(letters), uid="letters"))
    assert list(stream.execute_and_collect("dead letters with a uid of their own")) == [8]
    assert len(letters) == 1


@pytest.mark.parametrize("policy", ["skipp", "dead_letter", None, 3, CollectSink([])])
def test_an_unknown_policy_is_refused_when_the_job_is_built(policy: Any) -> None:
    stream = environment().from_collection([1])
    with pytest.raises(InvalidArgument, match=r"on_error is .*Give 'fail', 'skip' or dead_letter\(sink\)"):
        stream.map(divide, on_error=policy)


def test_a_misspelled_policy_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidArgument, match=r"dead_letter\(sink\)\. Did you mean 'skip'\?\Z"):
        environment().from_collection([1]).map(divide, on_error="skipp")  # type: ignore[arg-type]


def test_a_failure_of_the_next_operator_is_not_taken_for_the_records_own() -> None:
    """Operators of a chain call each other; what fails behind is not skipped by the policy in front."""

    class Emit(ProcessFunction[int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            ctx.output("side", value)

    from millstream import OutputTag

    env = environment()
    side = env.from_collection(VALUES).process(Emit(), on_error="skip").get_side_output(OutputTag("side"))
    with pytest.raises(JobFailedError, match="ZeroDivisionError"):
        list(side.map(divide).execute_and_collect())


def test_the_policy_holds_for_function_objects_too() -> None:
    class Divided(MapFunction[int, int]):
        def map(self, value: int) -> int:
            return 8 // value

    assert list(environment().from_collection(VALUES).map(Divided(), on_error="skip").execute_and_collect()) == [2, 4, 8]


@pytest.mark.parametrize(("operation", "expected"), [("sum", [1, 5]), ("min", [1, 1]), ("max", [1, 4]), ("min_by", [1, 1]), ("max_by", [1, 4])])
def test_rolling_operations_on_a_field_have_a_policy_too(operation: str, expected: list[int]) -> None:
    rows: list[Any] = [{"k": 1, "v": 1}, {"k": 1}, {"k": 1, "v": 4}]
    letters: deque[DeadLetterRecord] = deque()
    stream = environment().from_collection(rows).key_by(lambda row: row["k"])
    results = getattr(stream, operation)("v", on_error=dead_letter(CollectSink(letters))).execute_and_collect()
    assert [row["v"] for row in results] == expected
    assert [letter.record for letter in letters] == ["{'k': 1}"]
