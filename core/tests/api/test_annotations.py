"""Annotations of named functions: which count, and that they never cost a value or a checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from millstream import (
    AggregateFunction,
    KeyedProcessFunction,
    KeySelector,
    MapFunction,
    ReduceFunction,
    RestartStrategies,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.api.annotations import accumulator_of, returned_by
from millstream.errors import StateIncompatible
from millstream.state.serializers import Annotation
from millstream.testing import OperatorHarness
from millstream.testing.single_operator import Saved

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")
Pair = tuple[str, int]


@dataclass(frozen=True)
class Total:
    word: str
    count: int


def word(pair: Pair) -> str:
    return pair[0]


def added(a: Pair, b: Pair) -> Pair:
    return a[0], a[1] + b[1]


def counted(total: int, pair: Pair) -> int:
    return total + pair[1]


class ByWord(KeySelector[Pair, str]):
    def get_key(self, value: Pair) -> str:
        return value[0]


class Adding(ReduceFunction[Pair]):
    def reduce(self, first: Pair, second: Pair) -> Pair:
        return added(first, second)


class Mean(AggregateFunction[Pair, tuple[int, int], float]):
    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add(self, value: Pair, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator[0] + value[1], accumulator[1] + 1

    def get_result(self, accumulator: tuple[int, int]) -> float:
        return accumulator[0] / accumulator[1]


# --- which annotations count


def of_unknown(value: Unknown) -> int:
    return 1


def gives_unknown() -> Unknown:
    return 1


def gives_nonsense() -> "1 +":  # type: ignore[syntax]  # noqa: F722
    return 1


def gives_failure() -> "1 // 0":  # type: ignore[valid-type]  # noqa: UP037
    return 1


def gives_none() -> None: ...


def gives_anything() -> Any: ...


def gives_list() -> list: ...  # type: ignore[type-arg,empty-body]


def gives_t(value: T) -> T:
    return value


def gives_nothing(a, b):  # type: ignore[no-untyped-def]
    return a


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class Counting:
    def __call__(self, total: int, pair: Pair) -> int:
        return total


@pytest.mark.parametrize(
    ("function", "method", "wanted"),
    [
        (word, None, Annotation(str, "word")),
        (added, None, Annotation(tuple[str, int], "added")),
        (of_unknown, None, Annotation(int, "of_unknown")),
        (ByWord(), "get_key", Annotation(str, "ByWord.get_key")),
        (ByWord().get_key, None, Annotation(str, "ByWord.get_key")),
        (Adding(), "reduce", Annotation(tuple[str, int], "Adding.reduce")),
        (Counting(), None, Annotation(int, "Counting.__call__")),
        (logged(counted), None, Annotation(int, "counted")),
    ],
)
def test_the_annotation_of_a_named_function_or_method_is_resolved(function: Any, method: str | None, wanted: Annotation) -> None:
    assert returned_by(function, method) == wanted


@pytest.mark.parametrize(
    "function",
    [
        *(gives_unknown, gives_nonsense, gives_failure, gives_none, gives_anything, gives_list, gives_t, gives_nothing),
        *(lambda a, b: a, max, str.upper, int, Total, functools.partial(counted, 0), 5),
    ],
)
def test_what_does_not_tell_a_type_is_passed_over_without_a_word(function: Any) -> None:
    assert returned_by(function) is None


def aggregate(create: Any, add: Any) -> Any:
    class Made(Mean):
        pass

    for name, annotation in (("create_accumulator", create), ("add", add)):
        function = getattr(Mean, name)
        copy = type(function)(function.__code__, function.__globals__, name)
        copy.__annotations__ = {} if annotation is None else {"return": annotation}
        setattr(Made, name, copy)
    return Made()


@pytest.mark.parametrize(
    ("create", "add", "wanted"),
    [
        (int, int, int),
        ("int", None, int),
        (None, "int", int),
        ("list", "list[int]", list[int]),
        (int, str, None),
        (None, None, None),
    ],
)
def test_the_methods_of_an_aggregate_tell_the_accumulator_unless_they_contradict_each_other(create: Any, add: Any, wanted: Any) -> None:
    found = accumulator_of(aggregate(create, add))
    assert (found and found.type) == wanted


# --- what it makes of state


def pair_of(harness: OperatorHarness) -> tuple[Any, Any]:
    """How keys and values of the one table are described in a snapshot."""
    saved = msgspec.msgpack.decode(harness.snapshot(), type=Saved)
    (operator,) = saved.task.operators
    (table,) = [table for name, table in operator.tables.items() if not name.startswith("@timers")]
    return table.keys, table.values


WINDOW = TumblingEventTimeWindows.of(timedelta(seconds=10))
OPERATIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "reduce": (lambda s: s.key_by(word).reduce(added), "tuple[str, int]"),
    "reduce function": (lambda s: s.key_by(ByWord()).reduce(Adding()), "tuple[str, int]"),
    "fold": (lambda s: s.key_by(word).fold(0, counted), "int"),
    "aggregate": (lambda s: s.key_by(word).aggregate(Mean()), "tuple[int, int]"),
    "window reduce": (lambda s: s.key_by(word).window(WINDOW).reduce(added), "tuple[str, int]"),
    "window aggregate": (lambda s: s.key_by(word).window(WINDOW).aggregate(Mean()), "tuple[int, int]"),
}
PAIRS = [("a", 1), ("b", 2), ("a", 3)]
STAMPS = [1000, 2000, 3000]


@pytest.mark.parametrize(("build", "type_name"), OPERATIONS.values(), ids=OPERATIONS)
def test_keys_and_values_are_typed_by_annotations(build: Any, type_name: str) -> None:
    with OperatorHarness(build) as harness:
        harness.process_all(PAIRS, STAMPS)
        keys, values = pair_of(harness)
    assert (keys.kind, keys.type_name, values.kind, values.type_name) == ("typed", "str", "typed", type_name)


UNTOLD: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda s: s.key_by(lambda p: p[0]).reduce(lambda a, b: (a[0], a[1] + b[1])),
    "fold": lambda s: s.key_by(lambda p: p[0]).fold(0, lambda total, p: total + p[1]),
    "aggregate": lambda s: s.key_by(lambda p: p[0]).aggregate(aggregate(None, None)),
    "window reduce": lambda s: s.key_by(lambda p: p[0]).window(WINDOW).reduce(lambda a, b: (a[0], a[1] + b[1])),
    "window aggregate": lambda s: s.key_by(lambda p: p[0]).window(WINDOW).aggregate(aggregate(None, None)),
}


def finished(harness: OperatorHarness) -> list[Any]:
    harness.take()
    harness.process_all(PAIRS, STAMPS)
    harness.watermark(20_000)
    return harness.take()


@pytest.mark.parametrize("name", UNTOLD)
def test_state_of_the_data_codec_goes_on_when_annotations_make_it_typed(name: str) -> None:
    told, _ = OPERATIONS[name]
    with OperatorHarness(UNTOLD[name]) as harness:
        harness.process_all(PAIRS, STAMPS)
        assert [one.kind for one in pair_of(harness)] == ["data", "data"]
        saved = harness.snapshot()
        wanted = finished(harness)
    with OperatorHarness(told, restore=[saved]) as harness:
        assert [one.kind for one in pair_of(harness)] == ["typed", "typed"]
        again = harness.snapshot()
        assert finished(harness) == wanted
    with OperatorHarness(told, restore=[again]) as harness:
        assert finished(harness) == wanted


def wrong_word(pair: Pair) -> int:
    return pair[0]  # type: ignore[return-value]


def wrong_total(total: float, pair: Pair) -> float:
    """As many write it: what is added up are whole numbers."""
    return total + pair[1]


def wrong_sum(a: Pair, b: Pair) -> Total:
    return added(a, b)  # type: ignore[return-value]


class WrongMean(Mean):
    def create_accumulator(self) -> list[int]:  # type: ignore[override]
        return [0, 0]

    def add(self, value: Pair, accumulator: Any) -> list[int]:  # type: ignore[override]
        return Mean.add(self, value, accumulator)  # type: ignore[return-value]


WRONG: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda s: s.key_by(wrong_word).reduce(wrong_sum),
    "fold": lambda s: s.key_by(wrong_word).fold(0, wrong_total),
    "aggregate": lambda s: s.key_by(wrong_word).aggregate(WrongMean()),
    "window reduce": lambda s: s.key_by(wrong_word).window(WINDOW).reduce(wrong_sum),
    "window aggregate": lambda s: s.key_by(wrong_word).window(WINDOW).aggregate(WrongMean()),
}


@pytest.mark.parametrize("before", ["nothing", "data codec"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_annotation_is_as_good_as_none(name: str, before: str) -> None:
    with OperatorHarness(UNTOLD[name]) as harness:
        harness.process_all(PAIRS, STAMPS)
        old = [harness.snapshot()] if before == "data codec" else []
        wanted = finished(harness)
    with OperatorHarness(WRONG[name], restore=old) as harness:
        if not old:
            harness.process_all(PAIRS, STAMPS)
        assert [one.kind for one in pair_of(harness)] == ["data", "data"]
        saved = harness.snapshot()
        assert finished(harness) == wanted
    with OperatorHarness(WRONG[name], restore=[saved]) as harness:
        assert finished(harness) == wanted
    with OperatorHarness(UNTOLD[name], restore=[saved]) as harness:
        assert finished(harness) == wanted


def now_and_then_wrong(total: Any, pair: Pair) -> int:
    return total + pair[1] / 2  # type: ignore[no-any-return]


@pytest.mark.parametrize("parallelism", [1, 2])
def test_an_annotation_that_holds_for_some_values_only_loses_none(parallelism: int) -> None:
    """Checkpoints before and after the first value that does not match, and one in which both kinds are, restored at another parallelism."""

    def fold_of(function: Any) -> Any:
        return lambda stream: stream.key_by(word).fold(0, function)

    pairs = [(f"w{n}", n) for n in range(40)]
    with OperatorHarness(fold_of(counted)) as harness:
        harness.process_all(pairs)
        typed = harness.snapshot()
    with OperatorHarness(fold_of(now_and_then_wrong), restore=[typed]) as harness:
        harness.snapshot()
        harness.process_all([(f"w{n}", 1) for n in range(0, 40, 3)])
        keys, values = pair_of(harness)
        assert (keys.kind, values.kind) == ("typed", "mixed")
        mixed = harness.snapshot()
    wanted = {f"w{n}": n + 0.5 if n % 3 == 0 else n for n in range(40)}
    found: dict[str, Any] = {}
    for subtask in range(parallelism):
        with OperatorHarness(fold_of(now_and_then_wrong), restore=[mixed], subtask=subtask, parallelism=parallelism) as harness:
            assert pair_of(harness)[1].kind == "data"
            later = harness.snapshot()
            for table in harness.operator.keyed._declared.values():  # type: ignore[attr-defined]
                found.update(harness.operator._tables.table(table.spec))  # type: ignore[attr-defined]
            with OperatorHarness(
                lambda s: s.key_by(word).fold(0, lambda total, pair: total), restore=[later], parallelism=parallelism, subtask=subtask
            ):
                pass
    assert repr(sorted(found.items())) == repr(sorted(wanted.items()))


def test_a_function_that_loses_its_annotation_is_told_to_declare_the_type() -> None:
    with OperatorHarness(lambda s: s.key_by(word).fold(0, counted)) as harness:
        harness.process_all(PAIRS)
        saved = harness.snapshot()
    untold = lambda total, pair: total + pair[1]  # noqa: E731
    with pytest.raises(StateIncompatible, match=r"declared or annotated type \(int\), and there is none now\. Declare it with output_type="):
        OperatorHarness(lambda s: s.key_by(word).fold(0, untold), restore=[saved])
    with OperatorHarness(lambda s: s.key_by(word).fold(0, untold, output_type=int), restore=[saved]) as harness:
        harness.process(("a", 1))
        assert harness.values == [5]


def test_object_stands_for_the_data_codec() -> None:
    with OperatorHarness(lambda s: s.key_by(word, key_type=object).fold(0, counted, output_type=object)) as harness:
        harness.process_all(PAIRS)
        assert [one.kind for one in pair_of(harness)] == ["data", "data"]


def test_the_keys_of_any_operator_behind_an_annotated_selector_are_typed() -> None:
    class Count(KeyedProcessFunction[str, Pair, Any]):
        def open(self, context: Any) -> None:
            self.count = context.get_state(ValueStateDescriptor("count", int))

        def process_element(self, value: Pair, ctx: Any, out: Any) -> Iterable[Any] | None:
            self.count.update(value[1])
            return None

    class Counted(MapFunction[Pair, Any]):
        def open(self, context: Any) -> None:
            self.count = context.get_state(ValueStateDescriptor("count", int))

        def map(self, value: Pair) -> Any:
            self.count.update(value[1])

    for build in (lambda s: s.key_by(word).process(Count()), lambda s: s.key_by(word).map(Counted())):
        with OperatorHarness(build) as harness:
            harness.process_all(PAIRS)
            assert [one.kind for one in pair_of(harness)] == ["typed", "typed"]


def test_a_wrong_annotation_fails_no_checkpoint_of_a_job(tmp_path: Any) -> None:
    def run(**options: Any) -> list[Any]:
        env = StreamExecutionEnvironment().enable_checkpointing(timedelta(milliseconds=20)).set_restart_strategy(RestartStrategies.no_restart())
        env.checkpoint_config.set_checkpoint_storage(tmp_path)
        strategy: Any = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda pair: pair[1] * 1000)
        pairs = env.generate(lambda n: (f"w{n % 7}", n), count=200, rate_per_s=2000.0, uid="pairs").assign_timestamps_and_watermarks(strategy)
        totals = pairs.key_by(wrong_word).window(WINDOW).reduce(wrong_sum, uid="window").key_by(wrong_word).fold(0, wrong_total, uid="total")
        rows = totals.execute_and_collect("wrong")
        found = list(rows)
        assert rows.result().checkpoints > 1
        return found

    assert max(run()) > 0
