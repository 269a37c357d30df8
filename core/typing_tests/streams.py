"""The element type on its way through a program. Never run: mypy and pyright read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from millstream import (
    AggregateFunction,
    DataStream,
    DiscardingSink,
    FilterFunction,
    FlatMapFunction,
    JobClient,
    JobExecutionResult,
    KeyedStream,
    KeySelector,
    MapFunction,
    OutputTag,
    ReduceFunction,
    RestartStrategies,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    WindowedStream,
    dead_letter,
)
from millstream.api.data_stream import DataStreamSink


@dataclass(frozen=True)
class Reading:
    sensor: str
    celsius: float
    at_ms: int


class Parse(MapFunction[str, Reading]):
    def map(self, value: str) -> Reading:
        return Reading(value, 0.0, 0)


class Words(FlatMapFunction[str, str]):
    def flat_map(self, value: str) -> Iterable[str]:
        return value.split()


class Warm(FilterFunction[Reading]):
    def filter(self, value: Reading) -> bool:
        return value.celsius > 20


class BySensor(KeySelector[Reading, str]):
    def get_key(self, value: Reading) -> str:
        return value.sensor


class Coldest(ReduceFunction[Reading]):
    def reduce(self, first: Reading, second: Reading) -> Reading:
        return min(first, second, key=celsius)


class Mean(AggregateFunction[Reading, tuple[float, int], float]):
    def create_accumulator(self) -> tuple[float, int]:
        return 0.0, 0

    def add(self, value: Reading, accumulator: tuple[float, int]) -> tuple[float, int]:
        return accumulator[0] + value.celsius, accumulator[1] + 1

    def get_result(self, accumulator: tuple[float, int]) -> float:
        return accumulator[0] / accumulator[1]


def celsius(reading: Reading) -> float:
    return reading.celsius


def length(text: str) -> int:
    return len(text)


def sources(env: StreamExecutionEnvironment) -> None:
    assert_type(env.from_collection(["a"]), DataStream[str])
    assert_type(env.from_collection(range(3), uid="numbers"), DataStream[int])
    assert_type(env.generate(lambda index: Reading("s", float(index), index), count=5, rate_per_s=10.0), DataStream[Reading])
    assert_type(env.generate(str), DataStream[str])
    assert_type(env.read_text_file("in.txt"), DataStream[str])
    assert_type(env.socket_text_stream("localhost", 9999), DataStream[str])
    assert_type(env.read_csv_file("in.csv", record_type=Reading), DataStream[Reading])
    assert_type(env.read_json_lines("in.jsonl", record_type=Reading), DataStream[Reading])
    assert_type(env.read_csv_file("in.csv", types={"sensor": str}), DataStream[Any])
    assert_type(env.read_json_lines("in.jsonl"), DataStream[Any])


def stateless(lines: DataStream[str], readings: DataStream[Reading]) -> None:
    assert_type(lines.map(length), DataStream[int])
    assert_type(lines.map(lambda line: line.split(",")), DataStream[list[str]])
    assert_type(lines.map(Parse()), DataStream[Reading])
    assert_type(lines.flat_map(Words()), DataStream[str])
    assert_type(lines.flat_map(lambda line: line.split()), DataStream[str])
    assert_type(readings.filter(Warm()), DataStream[Reading])
    assert_type(readings.filter(lambda reading: reading.celsius > 20), DataStream[Reading])
    assert_type(readings.flat_map_batch(lambda batch: [reading.sensor for reading in batch if reading.celsius > 0]), DataStream[str])
    assert_type(readings.map_batch(lambda batch: [reading.celsius for reading in batch]), DataStream[float])
    assert_type(lines.map(length, output_type=int, name="length", uid="length", on_error="skip"), DataStream[int])
    assert_type(lines.map(length, on_error=dead_letter(DiscardingSink())), DataStream[int])


def same_element_type(readings: DataStream[Reading]) -> None:
    strategy: WatermarkStrategy[Reading] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=3))
    assert_type(readings.assign_timestamps_and_watermarks(strategy), DataStream[Reading])
    assert_type(readings.union(readings), DataStream[Reading])
    assert_type(readings.rebalance().rescale().broadcast().forward().global_().shuffle(), DataStream[Reading])
    assert_type(readings.partition_custom(lambda key, n: key % n, lambda reading: reading.at_ms), DataStream[Reading])
    assert_type(readings.name("x").uid("y").set_parallelism(2).set_max_parallelism(8).disable_chaining().start_new_chain(), DataStream[Reading])
    assert_type(readings.get_side_output(OutputTag("late", str)), DataStream[str])
    assert_type(readings.print("debug"), DataStreamSink)
    assert_type(readings.sink_to(DiscardingSink(), uid="out").name("out"), DataStreamSink)


def keyed(readings: DataStream[Reading], pairs: DataStream[tuple[str, int]]) -> None:
    assert_type(readings.key_by(lambda reading: reading.sensor), KeyedStream[str, Reading])
    assert_type(readings.key_by(BySensor(), key_type=str), KeyedStream[str, Reading])
    by_word = pairs.key_by(lambda pair: pair[0])
    assert_type(by_word, KeyedStream[str, tuple[str, int]])
    assert_type(by_word.reduce(lambda a, b: (a[0], a[1] + b[1])), DataStream[tuple[str, int]])
    assert_type(readings.key_by(BySensor()).reduce(Coldest(), uid="coldest"), DataStream[Reading])
    assert_type(by_word.fold(0, lambda total, pair: total + pair[1], uid="total"), DataStream[int])
    assert_type(readings.key_by(BySensor()).aggregate(Mean(), uid="mean"), DataStream[float])
    assert_type(by_word.sum(1), DataStream[tuple[str, int]])
    assert_type(by_word.min_by(1), DataStream[tuple[str, int]])
    plain: DataStream[tuple[str, int]] = by_word
    assert_type(plain.map(lambda pair: pair[1]), DataStream[int])
    assert_type(by_word.map(lambda pair: pair[1]), DataStream[int])
    assert_type(readings.key_by(BySensor()).filter(Warm(), uid="warm"), DataStream[Reading])
    assert_type(by_word.flat_map(lambda pair: pair[0].split()), DataStream[str])
    assert_type(by_word.union(pairs), DataStream[tuple[str, int]])
    assert_type(by_word.key_by(lambda pair: pair[1]), KeyedStream[int, tuple[str, int]])
    assert_type(by_word.print(), DataStreamSink)
    assert_type(by_word.sink_to(DiscardingSink(), uid="out"), DataStreamSink)


def windowed(readings: DataStream[Reading]) -> None:
    windows = readings.key_by(BySensor()).window(TumblingEventTimeWindows.of(timedelta(seconds=15), offset=timedelta(hours=-8)))
    assert_type(windows, WindowedStream[str, Reading])
    late = OutputTag("late", Reading)
    assert_type(windows.allowed_lateness(timedelta(seconds=5)).side_output_late_data(late), WindowedStream[str, Reading])
    assert_type(windows.reduce(Coldest(), uid="coldest"), DataStream[Reading])
    assert_type(windows.reduce(lambda a, b: a), DataStream[Reading])
    assert_type(windows.aggregate(Mean(), uid="mean"), DataStream[float])
    assert_type(windows.min("celsius"), DataStream[Reading])


def execution(env: StreamExecutionEnvironment, readings: DataStream[Reading]) -> None:
    assert_type(env.execute("job"), JobExecutionResult)
    assert_type(env.execute_async("job"), JobClient)
    assert_type(env.execute_async("job").result(timeout_s=5.0), JobExecutionResult)
    with readings.execute_and_collect() as rows:
        assert_type(list(rows), list[Reading])
    assert_type(next(readings.execute_and_collect("job")), Reading)


def settings(env: StreamExecutionEnvironment) -> None:
    assert_type(StreamExecutionEnvironment.get_execution_environment(), StreamExecutionEnvironment)
    assert_type(StreamExecutionEnvironment.create_local_environment(parallelism=2), StreamExecutionEnvironment)
    assert_type(env.set_parallelism(2).set_max_parallelism(8).enable_checkpointing(timedelta(seconds=1)), StreamExecutionEnvironment)
    env.checkpoint_config.set_checkpoint_storage("./checkpoints").set_retained_checkpoints(3).set_checkpoint_timeout(timedelta(minutes=1))
    env.set_restart_strategy(RestartStrategies.fixed_delay(3, timedelta(seconds=10)))
