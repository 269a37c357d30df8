"""Mistakes that a type checker finds before the job runs. Each line must be an error: an unused ignore is one too."""

from __future__ import annotations

from datetime import timedelta

from millstream import (
    AggregateFunction,
    AggregatingState,
    AggregatingStateDescriptor,
    DataStream,
    DiscardingSink,
    KeyedProcessFunction,
    KeyedStream,
    MapFunction,
    OutputTag,
    ProcessFunction,
    ProcessWindowFunction,
    ReducingState,
    StateTtlConfig,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    ValueState,
    ValueStateDescriptor,
    WatermarkStrategy,
    schema_evolution,
)


class ToText(MapFunction[int, str]):
    def map(self, value: int) -> str:
        return str(value)


class WrongSignature(MapFunction[int, str]):
    def map(self, value: bytes) -> str:  # type: ignore[override]
        return str(value)


class Forgotten(MapFunction[int, str]):
    """Defines no map."""


schema_evolution(renamed=["old", "new"])  # type: ignore[arg-type]


def functions(texts: DataStream[str], numbers: DataStream[int], env: StreamExecutionEnvironment) -> None:
    texts.map(ToText())  # type: ignore[arg-type]
    texts.map(lambda text: text + 1)  # type: ignore[operator]
    Forgotten()  # type: ignore[abstract]
    texts.map(ToText)  # type: ignore[arg-type]
    texts.filter("text")  # type: ignore[arg-type]
    texts.flat_map(len)  # type: ignore[arg-type]
    texts.map_batch(lambda batch: len(batch))  # type: ignore[arg-type,return-value]
    texts.map(str.upper, on_error="ignore")  # type: ignore[arg-type]
    texts.union(numbers)  # type: ignore[arg-type]
    env.from_collection(5)  # type: ignore[arg-type]


def keyed(pairs: DataStream[tuple[str, int]], process: ProcessFunction[int, int], by_word: KeyedStream[str, tuple[str, int]]) -> None:
    pairs.sum(1)  # type: ignore[attr-defined]
    pairs.reduce(max)  # type: ignore[attr-defined]
    by_word.map(str.upper)  # type: ignore[arg-type]
    by_word.map(len).sum()  # type: ignore[attr-defined]
    by_word.union(pairs).reduce(max)  # type: ignore[attr-defined]
    by_word.reduce(lambda a, b: 5)  # type: ignore[arg-type,return-value]
    by_word.process(process)  # type: ignore[arg-type]
    by_word.sum(1.5)  # type: ignore[arg-type]
    by_word.window(timedelta(seconds=5))  # type: ignore[arg-type]


def windows(
    by_word: KeyedStream[str, tuple[str, int]],
    aggregate: AggregateFunction[str, int, int],
    window_function: ProcessWindowFunction[bytes, str, str, TimeWindow],
    late: OutputTag[bytes],
) -> None:
    windowed = by_word.window(TumblingEventTimeWindows.of(timedelta(seconds=5)))
    windowed.allowed_lateness(5)  # type: ignore[arg-type]
    windowed.side_output_late_data(late)  # type: ignore[arg-type]
    windowed.aggregate(aggregate)  # type: ignore[arg-type]
    windowed.process(window_function)  # type: ignore[arg-type]
    TumblingEventTimeWindows.of(5)  # type: ignore[arg-type]


def state(count: ValueState[int], function: KeyedProcessFunction[str, int, int], numbers: DataStream[int]) -> None:
    count.update("one")  # type: ignore[arg-type]
    numbers.process(function)  # type: ignore[arg-type]
    numbers.key_by(lambda n: n).process(function)  # type: ignore[arg-type]


def expiring(most: ReducingState[int], total: AggregatingState[str, int]) -> None:
    most.add("one")  # type: ignore[arg-type]
    total.add(1)  # type: ignore[arg-type]
    AggregatingStateDescriptor("total", max)  # type: ignore[arg-type]
    StateTtlConfig(10)  # type: ignore[arg-type]
    StateTtlConfig(timedelta(hours=1), "on_read")  # type: ignore[arg-type]
    ValueStateDescriptor("n", int, ttl=timedelta(hours=1))  # type: ignore[call-overload]


def settings(env: StreamExecutionEnvironment, numbers: DataStream[int]) -> None:
    env.set_parallelism("2")  # type: ignore[arg-type]
    env.enable_checkpointing(10)  # type: ignore[arg-type]
    WatermarkStrategy.for_bounded_out_of_orderness(3)  # type: ignore[arg-type]
    numbers.sink_to("out.csv")  # type: ignore[arg-type]
    numbers.sink_to(DiscardingSink)  # type: ignore[arg-type]
    numbers.assign_timestamps_and_watermarks("event time")  # type: ignore[arg-type]
