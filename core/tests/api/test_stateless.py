"""map, flat_map, filter and map_batch, as a job author sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from millstream import FilterFunction, FlatMapFunction, MapFunction, StreamExecutionEnvironment, WatermarkStrategy
from millstream.api.data_stream import DataStream
from millstream.errors import JobFailedError, UserFunctionFailed, WrongBatchLength
from millstream.records import MAX_TIMESTAMP


@pytest.fixture(params=[1, 2, 1000])
def env(request: pytest.FixtureRequest) -> StreamExecutionEnvironment:
    """How records are cut into batches must never show."""
    return StreamExecutionEnvironment().configure("execution.batch_size", request.param)


def stamped(env: StreamExecutionEnvironment, pairs: list[tuple[Any, int]]) -> DataStream[Any]:
    """Values at their event times."""
    return env.from_collection(pairs, WatermarkStrategy.no_watermarks().with_timestamp_assigner(lambda pair: pair[1])).map(lambda pair: pair[0])


def with_timestamps(stream: DataStream[Any]) -> list[tuple[Any, int | None]]:
    """The records and their event times, seen by a process function."""
    from millstream import ProcessFunction

    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp()))

    return list(stream.process(Look()).execute_and_collect())


def test_map_emits_exactly_one_record_for_each(env: StreamExecutionEnvironment) -> None:
    assert list(env.from_collection([1, 2, 3]).map(lambda n: n * 10).execute_and_collect()) == [10, 20, 30]


def test_none_is_a_value_that_map_emits_and_takes(env: StreamExecutionEnvironment) -> None:
    stream = env.from_collection([1, None, 3]).map(lambda n: None if n == 1 else n).map(lambda n: ("seen", n))
    assert list(stream.execute_and_collect()) == [("seen", None), ("seen", None), ("seen", 3)]


def test_map_keeps_the_timestamp_of_each_record(env: StreamExecutionEnvironment) -> None:
    assert with_timestamps(stamped(env, [("a", 5), ("b", 3), ("c", 9)]).map(str.upper)) == [("A", 5), ("B", 3), ("C", 9)]


def test_a_stream_without_timestamps_has_none_after_map_either(env: StreamExecutionEnvironment) -> None:
    assert with_timestamps(env.from_collection([1, 2]).map(lambda n: n)) == [(1, None), (2, None)]


def test_filter_keeps_what_is_true_with_its_timestamp(env: StreamExecutionEnvironment) -> None:
    stream = stamped(env, [("a", 5), ("", 3), ("c", 9), (None, 11)]).filter(lambda text: text)
    assert with_timestamps(stream) == [("a", 5), ("c", 9)]


def test_filter_takes_any_truth_value_not_only_bool(env: StreamExecutionEnvironment) -> None:
    assert list(env.from_collection([0, 1, 2, 3]).filter(lambda n: n % 3).execute_and_collect()) == [1, 2]


def test_a_filter_that_drops_everything_gives_an_empty_stream(env: StreamExecutionEnvironment) -> None:
    assert list(env.from_collection([1, 2]).filter(lambda _: False).map(lambda n: n).execute_and_collect()) == []


def test_flat_map_gives_any_number_and_each_inherits_the_timestamp(env: StreamExecutionEnvironment) -> None:
    stream = stamped(env, [("ab", 5), ("", 3), ("cde", 9)]).flat_map(list)
    assert with_timestamps(stream) == [("a", 5), ("b", 5), ("c", 9), ("d", 9), ("e", 9)]


def test_flat_map_takes_generators_and_none(env: StreamExecutionEnvironment) -> None:
    def countdown(n: int) -> Iterator[int] | None:
        return iter(range(n, 0, -1)) if n else None

    assert list(env.from_collection([2, 0, 1]).flat_map(countdown).execute_and_collect()) == [2, 1, 1]  # type: ignore[arg-type]


def test_function_objects_are_called_by_their_method(env: StreamExecutionEnvironment) -> None:
    class Twice(MapFunction[int, int]):
        def map(self, value: int) -> int:
            return 2 * value

    class Digits(FlatMapFunction[int, str]):
        def flat_map(self, value: int) -> list[str]:
            return list(str(value))

    class NotOne(FilterFunction[str]):
        def filter(self, value: str) -> bool:
            return value != "1"

    stream = env.from_collection([5, 6, 7]).map(Twice()).flat_map(Digits()).filter(NotOne())
    assert list(stream.execute_and_collect()) == ["0", "2", "4"]


def alone_or_chained(stream: DataStream[Any], chained: bool) -> DataStream[Any]:
    """Whether what follows shares its loop with an operator in front of it."""
    return stream.filter(bool) if chained else stream.flat_map(lambda value: [value])


def stops_at(last: int) -> Any:
    empty: Iterator[int] = iter(())

    def take(n: int) -> int:
        return n if n < last else next(empty)

    return take


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("method", ["map", "filter", "flat_map"])
def test_stop_iteration_is_told_like_any_exception(env: StreamExecutionEnvironment, method: str, timestamps: bool, chained: bool, last: int) -> None:
    stream = stamped(env, [(1, 5), (2, 6), (3, 7)]) if timestamps else env.from_collection([1, 2, 3])
    function = stops_at(last) if method != "flat_map" else lambda n: [stops_at(last)(n)]
    stopping = getattr(alone_or_chained(stream, chained), method)(function, name="taking")
    with pytest.raises(
        JobFailedError, match=r"test_stateless\.py:\d+ in take: return n if n < last else next\(empty\)\nraised by .*'taking'"
    ) as raised:
        list(stopping.execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert (failure.error, failure.operator, failure.record) == ("StopIteration: ", "taking", str(last))


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("method", ["map", "filter"])
def test_a_record_on_which_a_function_raises_stop_iteration_is_skipped_alone(
    env: StreamExecutionEnvironment, method: str, timestamps: bool, chained: bool
) -> None:
    def take(n: int) -> int:
        return n if n in (2, 4) else next(iter(()))

    rows = [(n, 10 * n) for n in (1, 2, 3, 4, 5)]
    stream = stamped(env, rows) if timestamps else env.from_collection([n for n, _ in rows])
    kept = getattr(alone_or_chained(stream, chained), method)(take, on_error="skip")
    assert with_timestamps(kept) == [(n, 10 * n if timestamps else None) for n in (2, 4)]


def test_map_batch_gives_lists_and_keeps_order_and_timestamps(env: StreamExecutionEnvironment) -> None:
    stream = stamped(env, [("a", 5), ("b", 3), ("c", 9)]).map_batch(lambda texts: [text * 2 for text in texts])
    assert with_timestamps(stream) == [("aa", 5), ("bb", 3), ("cc", 9)]


def test_map_batch_takes_other_iterables_of_the_right_length(env: StreamExecutionEnvironment) -> None:
    assert list(env.from_collection([1, 2, 3]).map_batch(lambda ns: (n + 1 for n in ns)).execute_and_collect()) == [2, 3, 4]


@pytest.mark.parametrize(
    ("function", "returned"),
    [(lambda ns: ns[1:], "0|1|2"), (lambda ns: [*ns, 0], "2|3|4"), (lambda ns: None, "NoneType"), (lambda ns: 5, "int")],
)
def test_map_batch_of_another_length_is_an_error_that_says_both_numbers(env: StreamExecutionEnvironment, function: Any, returned: str) -> None:
    with pytest.raises(JobFailedError, match=f"was given [123] records and returned .*({returned})") as raised:
        list(env.from_collection([1, 2, 3]).map_batch(function).execute_and_collect())
    assert isinstance(raised.value.__cause__, WrongBatchLength)


def test_flat_map_batch_takes_any_number_of_results_in_order(env: StreamExecutionEnvironment) -> None:
    rows = env.from_collection([3, 0, 2]).flat_map_batch(lambda ns: [n for n in ns for _ in range(n)], name="op").execute_and_collect()
    assert list(rows) == [3, 3, 3, 2, 2]
    assert (rows.result().counts["op.numRecordsIn"], rows.result().counts["op.numRecordsOut"]) == (3, 5)


def test_flat_map_batch_takes_generators_and_nothing_at_all(env: StreamExecutionEnvironment) -> None:
    assert list(env.from_collection([1, 2]).flat_map_batch(lambda ns: (n for n in ns if n > 1)).execute_and_collect()) == [2]
    assert list(env.from_collection([1, 2]).flat_map_batch(lambda ns: []).execute_and_collect()) == []


def test_flat_map_batch_that_returns_none_is_an_error_with_the_fix(env: StreamExecutionEnvironment) -> None:
    with pytest.raises(JobFailedError, match="returned a NoneType. Return a list, empty when"):
        list(env.from_collection([1]).flat_map_batch(lambda ns: None).execute_and_collect())  # type: ignore[arg-type,return-value]


def test_flat_map_batch_refuses_timestamps_because_it_would_lose_them(env: StreamExecutionEnvironment) -> None:
    with pytest.raises(JobFailedError, match="in front of assign_timestamps_and_watermarks"):
        list(stamped(env, [("a", 5)]).flat_map_batch(lambda texts: texts).execute_and_collect())


def test_an_error_inside_a_generator_given_by_map_batch_shows_the_line_of_the_user(env: StreamExecutionEnvironment) -> None:
    with pytest.raises(JobFailedError, match=r"\AZeroDivisionError: .*\n .*test_stateless\.py:\d+ in"):
        list(env.from_collection([1, 0, 3]).map_batch(lambda ns: (1 // n for n in ns)).execute_and_collect())


def test_a_watermark_ends_the_stream_after_all_records(env: StreamExecutionEnvironment) -> None:
    """The maximum watermark of the end passes through every stateless operator."""
    from millstream import KeyedProcessFunction

    class AtEnd(KeyedProcessFunction[int, int, Any]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            out.collect(value)
            ctx.timer_service().register_event_time_timer(MAX_TIMESTAMP)

        def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
            out.collect(("end", ctx.timer_service().current_watermark() == MAX_TIMESTAMP))

    stream = env.from_collection([1, 2]).map(lambda n: n).flat_map(lambda n: [n]).filter(lambda n: True).map_batch(list)
    assert list(stream.key_by(lambda n: 0).process(AtEnd()).execute_and_collect()) == [1, 2, ("end", True)]


class Odd:
    """True for odd numbers; three cannot say."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __bool__(self) -> bool:
        if self.number == 3:
            raise ValueError("three")
        return self.number % 2 == 1


def test_a_filter_by_truth_sets_a_record_aside_that_cannot_tell_its_own() -> None:
    environment = StreamExecutionEnvironment.create_local_environment(parallelism=1)
    kept = environment.from_collection([Odd(number) for number in range(8)]).filter(bool, on_error="skip")
    assert [odd.number for odd in kept.execute_and_collect()] == [1, 5, 7]
