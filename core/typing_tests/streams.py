"""The public API as type checkers see it. Checked by mypy and by pyright, never run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import assert_type

from millstream import (
    AggregateFunction,
    Collector,
    DataStream,
    DiscardingSink,
    JobExecutionResult,
    KeyedProcessContext,
    KeyedProcessFunction,
    KeyedStream,
    MapFunction,
    OutputTag,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    ValueState,
    ValueStateDescriptor,
    WatermarkStrategy,
    WindowContext,
    WindowedStream,
)


class Reading:
    """A record."""

    sensor: str
    at_ms: int
    celsius: float


class Mean(AggregateFunction[Reading, tuple[int, float], float]):
    """An aggregate."""

    def create_accumulator(self) -> tuple[int, float]:
        return 0, 0.0

    def add(self, value: Reading, accumulator: tuple[int, float]) -> tuple[int, float]:
        return accumulator[0] + 1, accumulator[1] + value.celsius

    def get_result(self, accumulator: tuple[int, float]) -> float:
        return accumulator[1] / accumulator[0]


class WithSensor(ProcessWindowFunction[float, tuple[str, float], str, TimeWindow]):
    """A window function."""

    def process(self, key: str, context: WindowContext[TimeWindow], elements: Iterable[float]) -> Iterable[tuple[str, float]]:
        assert_type(context.window(), TimeWindow)
        return [(key, element) for element in elements]


class Count(KeyedProcessFunction[str, Reading, int]):
    """A process function."""

    count: ValueState[int]

    def open(self, context: RuntimeContext) -> None:
        self.count = context.get_state(ValueStateDescriptor[int]("count", int))
        assert_type(context.get_state(ValueStateDescriptor[str]("name")), ValueState[str])

    def process_element(self, value: Reading, ctx: KeyedProcessContext, out: Collector[int]) -> None:
        seen = self.count.value()
        assert_type(seen, int | None)
        self.count.update((seen or 0) + 1)
        self.count.update("one")  # type: ignore[arg-type]
        out.collect((seen or 0) + 1)


class Celsius(MapFunction[Reading, float]):
    """A map function."""

    def map(self, value: Reading) -> float:
        return value.celsius


def element_types_follow_the_functions(environment: StreamExecutionEnvironment, readings: list[Reading]) -> None:
    stream = environment.from_collection(readings, uid="readings")
    assert_type(stream, DataStream[Reading])
    assert_type(stream.map(lambda reading: reading.celsius), DataStream[float])
    assert_type(stream.map(Celsius()), DataStream[float])
    assert_type(stream.filter(lambda reading: reading.celsius > 0), DataStream[Reading])
    assert_type(stream.flat_map(lambda reading: [reading.sensor]), DataStream[str])
    assert_type(stream.map_batch(lambda batch: [reading.at_ms for reading in batch]), DataStream[int])
    assert_type(stream.union(stream), DataStream[Reading])
    assert_type(stream.get_side_output(OutputTag[str]("late", str)), DataStream[str])
    stream.map(lambda reading: reading.fahrenheit)  # type: ignore[attr-defined]
    stream.sink_to(DiscardingSink(), uid="nowhere")
    assert_type(environment.execute("readings"), JobExecutionResult)


def keys_and_windows_carry_their_types(stream: DataStream[Reading]) -> None:
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=3)).with_timestamp_assigner(lambda reading: reading.at_ms)
    keyed = stream.assign_timestamps_and_watermarks(strategy).key_by(lambda reading: reading.sensor)
    assert_type(keyed, KeyedStream[str, Reading])
    assert_type(keyed.reduce(lambda first, second: first if first.celsius < second.celsius else second, uid="min"), DataStream[Reading])
    assert_type(keyed.fold(0, lambda count, _: count + 1, uid="count"), DataStream[int])
    assert_type(keyed.aggregate(Mean(), uid="mean"), DataStream[float])
    assert_type(keyed.min("celsius", uid="least"), DataStream[Reading])
    assert_type(keyed.process(Count(), uid="counted"), DataStream[int])
    windowed = keyed.window(TumblingEventTimeWindows.of(timedelta(seconds=15))).allowed_lateness(timedelta(seconds=1))
    assert_type(windowed, WindowedStream[str, Reading])
    assert_type(windowed.reduce(lambda first, _: first, uid="first"), DataStream[Reading])
    assert_type(windowed.aggregate(Mean(), uid="window-mean"), DataStream[float])
    assert_type(windowed.aggregate(Mean(), WithSensor(), uid="named-mean"), DataStream[tuple[str, float]])


def collected_records_have_the_streams_type(stream: DataStream[Reading]) -> None:
    with stream.map(lambda reading: reading.at_ms).execute_and_collect("times") as rows:
        for row in rows:
            assert_type(row, int)
