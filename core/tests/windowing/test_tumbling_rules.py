"""Tumbling windows, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from millstream import (
    AggregateFunction,
    OutputTag,
    ProcessFunction,
    ProcessWindowFunction,
    ReduceFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkGenerator,
    WatermarkStrategy,
)
from millstream.errors import JobFailedError, UserFunctionFailed
from millstream.records import MAX_TIMESTAMP

LATE: OutputTag[Any] = OutputTag("late")


class Watermarks(WatermarkGenerator[Any]):
    """Rows that are ints are watermarks."""

    def on_event(self, value: Any, timestamp: int, output: Any) -> None:
        if isinstance(value, int):
            output.emit_watermark(value)

    def on_periodic_emit(self, output: Any) -> None:
        pass


def windowed(events: list[Any], size_ms: int = 10, batch_size: int = 1000) -> Any:
    """Events (key, time, number) and watermarks, in windows per key."""
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size)
    strategy = WatermarkStrategy.for_generator(Watermarks).with_timestamp_assigner(lambda e: 0 if isinstance(e, int) else e[1])
    stream = env.from_collection(events, strategy).filter(lambda event: not isinstance(event, int))
    return stream.key_by(lambda event: event[0]).window(TumblingEventTimeWindows.of(timedelta(milliseconds=size_ms)))


class Name(ProcessWindowFunction[Any, Any, str, Any]):
    """(key, window start, numbers, watermark while firing)."""

    def process(self, key: str, context: Any, elements: Any) -> Iterator[Any]:
        yield key, context.window().start, [number for _, _, number in elements], context.current_watermark()


def fired(events: list[Any], lateness_ms: int = 0, **options: Any) -> list[Any]:
    return list(windowed(events, **options).allowed_lateness(timedelta(milliseconds=lateness_ms)).process(Name()).execute_and_collect())


def test_a_window_fires_when_the_watermark_reaches_its_last_ms() -> None:
    assert fired([("a", 3, 1), 8, ("a", 9, 2), 9, ("a", 20, 3)]) == [("a", 0, [1, 2], 9), ("a", 20, [3], MAX_TIMESTAMP)]


def test_a_record_at_the_watermark_is_in_time_for_a_window_that_goes_on() -> None:
    assert fired([("a", 3, 1), 5, ("a", 5, 2), ("a", 0, 3), 9]) == [("a", 0, [1, 2, 3], 9)]


def test_one_jump_of_the_watermark_fires_all_windows_it_passes_oldest_first() -> None:
    events = [("a", 25, 1), ("b", 3, 2), ("a", 12, 3), ("a", 4, 4), 40]
    assert [row[:3] for row in fired(events)] == [("b", 0, [2]), ("a", 0, [4]), ("a", 10, [3]), ("a", 20, [1])]


def test_what_is_left_fires_at_the_end_of_the_input() -> None:
    assert fired([("a", 3, 1), ("a", 13, 2)]) == [("a", 0, [1], MAX_TIMESTAMP), ("a", 10, [2], MAX_TIMESTAMP)]


def test_times_before_1970() -> None:
    assert fired([("a", -1, 1), ("a", -10, 2), ("a", -11, 3), -1]) == [("a", -20, [3], -1), ("a", -10, [1, 2], -1)]


def test_the_timestamp_of_a_result_is_the_last_ms_of_the_window_so_that_windows_cascade() -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp()))

    events = [("a", 3, 1), ("b", 4, 2), 9, ("a", 13, 4), 19]
    sums = windowed(events).reduce(lambda a, b: (a[0], a[1], a[2] + b[2]))
    assert list(sums.process(Look()).execute_and_collect()) == [(("a", 3, 1), 9), (("b", 4, 2), 9), (("a", 13, 4), 19)]

    per_key = windowed(events).reduce(lambda a, b: a)
    same_size = per_key.key_by(lambda _: "all").window(TumblingEventTimeWindows(10)).process(Name())
    assert list(same_size.execute_and_collect()) == [("all", 0, [1, 2], 9), ("all", 10, [4], 19)]


def test_late_but_allowed_fires_again_at_once_with_the_updated_result_for_its_key_only() -> None:
    events = [("a", 3, 1), ("b", 3, 2), 9, ("a", 4, 3), ("a", 5, 4), 14, ("b", 1, 5)]
    assert fired(events, lateness_ms=10) == [("a", 0, [1], 9), ("b", 0, [2], 9), ("a", 0, [1, 3], 9), ("a", 0, [1, 3, 4], 9), ("b", 0, [2, 5], 14)]


def test_a_late_but_allowed_record_of_a_key_or_window_that_was_not_there_fires_alone() -> None:
    assert fired([("a", 3, 1), 9, ("b", 4, 2), ("a", 14, 3), 12], lateness_ms=10)[1] == ("b", 0, [2], 9)
    assert fired([("a", 33, 1), 25, ("b", 14, 2)], lateness_ms=10)[0] == ("b", 10, [2], 25)


@pytest.mark.parametrize(("watermark", "late"), [(18, False), (19, True)])
def test_a_record_is_late_when_the_watermark_has_reached_the_end_minus_one_plus_the_lateness(watermark: int, late: bool) -> None:
    stream = windowed([("a", 3, 1), watermark, ("a", 4, 2)]).allowed_lateness(timedelta(milliseconds=10)).side_output_late_data(LATE)
    assert list(stream.process(Name()).get_side_output(LATE).execute_and_collect()) == ([("a", 4, 2)] if late else [])


def test_without_allowed_lateness_a_record_behind_the_window_is_late_at_once() -> None:
    assert fired([("a", 3, 1), 9, ("a", 4, 2), 10]) == [("a", 0, [1], 9)]


def test_late_records_keep_their_timestamps_and_are_not_counted_as_dropped() -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp()))

    result = windowed([("a", 3, 1), 9, ("a", 4, 2), ("b", -5, 3)]).side_output_late_data(LATE).process(Name(), name="windows")
    rows = result.get_side_output(LATE).process(Look()).execute_and_collect()
    assert list(rows) == [(("a", 4, 2), 4), (("b", -5, 3), -5)]
    assert rows.result().counts["windows.numLateRecordsDropped"] == 0


def test_late_records_without_a_side_output_are_counted() -> None:
    rows = windowed([("a", 3, 1), 9, ("a", 4, 2), ("b", -5, 3)]).process(Name(), name="windows").execute_and_collect()
    assert [row[2] for row in rows] == [[1]]
    assert rows.result().counts["windows.numLateRecordsDropped"] == 2


class Total(AggregateFunction[Any, list[int], int]):
    """Counts how often results are asked for, to prove that asking changes nothing."""

    def create_accumulator(self) -> list[int]:
        return [0]

    def add(self, value: Any, accumulator: list[int]) -> list[int]:
        accumulator[0] += value[2]
        return accumulator

    def get_result(self, accumulator: list[int]) -> int:
        return accumulator[0]


def test_aggregate_and_reduce_give_one_result_a_key_and_window() -> None:
    events = [("a", 3, 1), ("b", 3, 10), ("a", 4, 2), ("a", 13, 4), 9, 19]
    assert list(windowed(events).aggregate(Total()).execute_and_collect()) == [3, 10, 4]
    assert list(windowed(events).reduce(lambda a, b: (a[0], a[1], a[2] + b[2])).execute_and_collect()) == [("a", 3, 3), ("b", 3, 10), ("a", 13, 4)]


def test_a_window_function_behind_an_aggregate_or_reduce_sees_the_one_result() -> None:
    class One(ProcessWindowFunction[Any, Any, str, Any]):
        def process(self, key: str, context: Any, elements: Any) -> list[Any]:
            return [(key, list(elements), context.window().start, context.window().end)]

    events = [("a", 3, 1), ("a", 4, 2), ("a", 13, 4)]
    assert list(windowed(events).aggregate(Total(), One()).execute_and_collect()) == [("a", [3], 0, 10), ("a", [4], 10, 20)]
    assert list(windowed(events).reduce(lambda a, b: b, One()).execute_and_collect()) == [("a", [("a", 4, 2)], 0, 10), ("a", [("a", 13, 4)], 10, 20)]


def test_a_reduce_that_changes_its_first_argument_in_place_does_not_mix_windows() -> None:
    def extend(first: Any, second: Any) -> Any:
        first[2].extend(second[2])
        return first

    events = [("a", 3, [1]), ("a", 4, [2]), ("a", 13, [4]), ("b", 3, [8]), ("a", 5, [16])]
    rows = [row[2] for row in windowed(events).reduce(extend).execute_and_collect()]
    assert rows == [[1, 2, 16], [8], [4]]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("sum", [("a", 3, 8), ("b", 2, 7)]),
        ("min", [("a", 3, 1), ("b", 2, 7)]),
        ("max", [("a", 3, 5), ("b", 2, 7)]),
        ("min_by", [("a", 5, 1), ("b", 2, 7)]),
        ("max_by", [("a", 3, 5), ("b", 2, 7)]),
    ],
)
def test_fields_of_windows_as_of_rolling_operations(kind: str, wanted: list[Any]) -> None:
    events = [("a", 3, 5), ("b", 2, 7), ("a", 4, 1) if kind not in {"min_by"} else ("a", 5, 1), ("a", 6, 2)]
    assert list(getattr(windowed(events), kind)(2).execute_and_collect()) == wanted


def test_clear_is_called_for_each_key_when_its_window_is_removed_not_when_it_fires() -> None:
    cleared: list[Any] = []

    class Clears(Name):
        def clear(self, context: Any) -> None:
            cleared.append((context.window().start, context.current_watermark()))

    events = [("a", 3, 1), ("b", 3, 2), 9, ("a", 4, 3), 18, 19, ("a", 25, 4)]
    list(windowed(events).allowed_lateness(timedelta(milliseconds=10)).process(Clears()).execute_and_collect())
    assert cleared == [(0, 19), (0, 19), (20, MAX_TIMESTAMP)]


def test_a_window_function_may_return_nothing() -> None:
    class Nothing(ProcessWindowFunction[Any, Any, str, Any]):
        def process(self, key: str, context: Any, elements: Any) -> Any:
            return None

    assert list(windowed([("a", 3, 1)]).process(Nothing()).execute_and_collect()) == []


def test_a_window_function_may_use_keyed_state_of_the_operator() -> None:
    class Counted(ProcessWindowFunction[Any, Any, str, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.firings = context.get_state(ValueStateDescriptor("firings", int, 0))

        def process(self, key: str, context: Any, elements: Any) -> Iterator[Any]:
            self.firings.update((self.firings.value() or 0) + 1)
            yield key, self.firings.value()

    events = [("a", 3, 1), ("b", 3, 2), ("a", 13, 3), ("a", 23, 4)]
    assert list(windowed(events).process(Counted()).execute_and_collect()) == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


def test_what_a_window_function_does_to_its_elements_does_not_reach_the_window() -> None:
    class Empties(ProcessWindowFunction[Any, Any, str, Any]):
        def process(self, key: str, context: Any, elements: Any) -> Iterator[Any]:
            yield [number for _, _, number in elements]
            elements.clear()

    stream = windowed([("a", 3, 1), 9, ("a", 4, 2)]).allowed_lateness(timedelta(milliseconds=50)).process(Empties())
    assert list(stream.execute_and_collect()) == [[1], [1, 2]]


@pytest.mark.parametrize("kind", ["reduce", "reduce object", "aggregate", "process"])
def test_a_function_that_raises_is_named_with_its_own_line_and_record(kind: str) -> None:
    class Bad(AggregateFunction[Any, int, int]):
        def create_accumulator(self) -> int:
            return 0

        def add(self, value: Any, accumulator: int) -> int:
            return accumulator + 1 // value[2]

        def get_result(self, accumulator: int) -> int:
            return accumulator

    class BadReduce(ReduceFunction[Any]):
        def reduce(self, first: Any, second: Any) -> Any:
            return (first[0], first[1], 1 // second[2])

    class BadWindow(ProcessWindowFunction[Any, Any, str, Any]):
        def process(self, key: str, context: Any, elements: Any) -> list[Any]:
            return [1 // number for _, _, number in elements]

    windows = windowed([("a", 3, 1), ("a", 4, 0)])
    built = {
        "reduce": lambda: windows.reduce(lambda a, b: (a[0], a[1], 1 // b[2])),
        "reduce object": lambda: windows.reduce(BadReduce()),
        "aggregate": lambda: windows.aggregate(Bad()),
        "process": lambda: windows.process(BadWindow()),
    }[kind]()
    with pytest.raises(JobFailedError, match=r"\AZeroDivisionError: .*\n  .*test_tumbling_rules\.py") as raised:
        list(built.execute_and_collect())
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert failure.record == "('a', 4, 0)" or (kind == "process" and "of key 'a'" in failure.record)
    named = {"reduce": "<lambda>", "reduce object": "BadReduce.reduce", "aggregate": "Bad.add", "process": "BadWindow.process"}[kind]
    assert failure.function.endswith(named)
