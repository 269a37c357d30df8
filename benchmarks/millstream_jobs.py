"""The workloads as Millstream jobs: the public API with ordinary lambdas, inline driver, one subtask of everything."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from functions import (
    BOUND_MS,
    NO_READING,
    WINDOW_MS,
    Extremes,
    fold_in,
    is_warm,
    lower,
    merge,
    one_reading,
    sensor_of,
    time_of,
    to_fahrenheit,
    warm_fahrenheit,
    warm_fahrenheit_or_none,
    without_time,
)
from input import Reading, Run, Write
from millstream_ends import CallingSink, Lap, LoneRecords

from millstream import (
    DataStream,
    KeyedProcessFunction,
    StateTtlConfig,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)


def job(values: list[Reading]) -> tuple[StreamExecutionEnvironment, DataStream[Reading]]:
    """A new environment and the input as its stream."""
    env = StreamExecutionEnvironment.create_local_environment(parallelism=1)
    return env, env.from_collection(values, uid="readings")


def ended(env: StreamExecutionEnvironment, stream: DataStream[Any], write: Write) -> Run:
    """Adds the sink; what is timed is `execute()` alone."""
    stream.sink_to(CallingSink(write), uid="out")

    def run() -> None:
        env.execute("benchmark")

    return run


def w1(values: list[Reading], write: Write) -> Run:
    """Map, filter, map."""
    env, stream = job(values)
    return ended(env, stream.map(to_fahrenheit).filter(is_warm).map(without_time), write)


def w1_batch(values: list[Reading], write: Write) -> Run:
    """The same through `flat_map_batch`."""
    env, stream = job(values)
    return ended(env, stream.flat_map_batch(warm_fahrenheit), write)


def w1_map_batch(values: list[Reading], write: Write) -> Run:
    """The same through `map_batch`, whose function must give one result per record, and a filter."""
    env, stream = job(values)
    return ended(env, stream.map_batch(warm_fahrenheit_or_none).filter(bool), write)


def w2_reduce(values: list[Reading], write: Write) -> Run:
    """Running count and minimum per sensor by the user's reduce."""
    env, stream = job(values)
    return ended(env, stream.map(one_reading).key_by(sensor_of).reduce(merge, uid="extremes"), write)


def w2_fold(values: list[Reading], write: Write) -> Run:
    """The same as a fold."""
    env, stream = job(values)
    return ended(env, stream.key_by(sensor_of).fold(NO_READING, fold_in, uid="extremes"), write)


class RunningExtremes(KeyedProcessFunction[str, Reading, Extremes]):
    """The same as a process function with one value state."""

    def __init__(self, descriptor: ValueStateDescriptor[Any] | None = None) -> None:
        self.descriptor = descriptor or ValueStateDescriptor("extremes", tuple)

    def open(self, context: Any) -> None:
        self.state = context.get_state(self.descriptor)

    def process_element(self, value: Reading, ctx: Any, out: Any) -> None:
        sensor, _, celsius = value
        last = self.state.value()
        last = (sensor, 1, celsius) if last is None else (sensor, last[1] + 1, celsius if celsius < last[2] else last[2])
        self.state.update(last)
        out.collect(last)


def w2_process(values: list[Reading], write: Write) -> Run:
    """Running count and minimum by a process function."""
    env, stream = job(values)
    return ended(env, stream.key_by(sensor_of).process(RunningExtremes(), uid="extremes"), write)


def w2_process_with(descriptor: ValueStateDescriptor[Any], values: list[Reading], write: Write) -> Run:
    """The same with another descriptor of the state."""
    env, stream = job(values)
    return ended(env, stream.key_by(sensor_of).process(RunningExtremes(descriptor), uid="extremes"), write)


def w2_process_data(values: list[Reading], write: Write) -> Run:
    """State without a declared type: the data codec."""
    return w2_process_with(ValueStateDescriptor("extremes"), values, write)


def w2_process_typed(values: list[Reading], write: Write) -> Run:
    """State with a declared type."""
    return w2_process_with(ValueStateDescriptor("extremes", Extremes), values, write)


def w2_process_ttl(values: list[Reading], write: Write) -> Run:
    """State without a declared type that expires an hour after it was written."""
    return w2_process_with(ValueStateDescriptor("extremes", ttl=StateTtlConfig(timedelta(hours=1))), values, write)


def with_event_time(stream: DataStream[Reading]) -> DataStream[Reading]:
    """The stream with timestamps and watermarks 3 s behind."""
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=BOUND_MS)).with_timestamp_assigner(time_of)
    return stream.assign_timestamps_and_watermarks(strategy)


def w2_process_timed(values: list[Reading], write: Write) -> Run:
    """The same on a stream that carries timestamps."""
    env, stream = job(values)
    return ended(env, with_event_time(stream).key_by(sensor_of).process(RunningExtremes(), uid="extremes"), write)


def w3(values: list[Reading], write: Write) -> Run:
    """The lowest reading per sensor and 15 s window."""
    env, stream = job(values)
    windows = with_event_time(stream).key_by(sensor_of).window(TumblingEventTimeWindows.of(timedelta(milliseconds=WINDOW_MS)))
    return ended(env, windows.reduce(lower, uid="lowest"), write)


def laps(values: list[Reading], write: Write, seconds: float) -> tuple[StreamExecutionEnvironment, Run, Lap]:
    """W2 over the input again and again."""
    env = StreamExecutionEnvironment.create_local_environment(parallelism=1)
    source = Lap(values, seconds)
    stream = env.from_source(source, uid="readings").map(one_reading).key_by(sensor_of).reduce(merge, uid="extremes")
    return env, ended(env, stream, write), source


def w6_without(values: list[Reading], write: Write, seconds: float = 0.0) -> Run:
    """W2 for `seconds` (0: the input once), without checkpoints."""
    return laps(values, write, seconds)[1]


def w6(values: list[Reading], write: Write, seconds: float = 0.0) -> Run:
    """The same with a checkpoint each second to a folder on disk."""
    env, execute, source = laps(values, write, seconds)
    env.enable_checkpointing(timedelta(seconds=1))

    def run() -> Mapping[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            env.checkpoint_config.set_checkpoint_storage(folder)
            execute()
        return {"checkpoints": len(source.completed)}

    return run


def latency(count: int) -> list[float]:
    """How long single records take from source to sink on a quiet stream, through a map and a keyed reduce, in ms."""
    env = StreamExecutionEnvironment.create_local_environment(parallelism=1)
    taken_ms: list[float] = []

    def arrive(batch: Sequence[tuple[str, int]]) -> None:
        now_ns = time.perf_counter_ns()
        taken_ms.extend((now_ns - sent_ns) / 1e6 for _, sent_ns in batch)

    stream = env.from_source(LoneRecords(count), uid="lone").map(lambda r: (f"key-{r[0] % 10}", r[1]))
    stream.key_by(sensor_of).reduce(lambda a, b: b, uid="last").sink_to(CallingSink(arrive), uid="out")
    env.execute("latency")
    return taken_ms
