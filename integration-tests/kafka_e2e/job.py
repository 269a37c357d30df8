"""The job: readings of a topic, counted and added up per sensor and window of event time, to another topic.

Over several processes, each of which imports this script and arms the faults that the environment asks for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import timedelta

from readings import JITTER_MS, WINDOW_MS

from millstream import (
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    WindowContext,
)
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_testkit.processes.armed import arm_faults


def parsed(line: str) -> tuple[int, int, int, int]:
    """Sensor, event time, count, value."""
    sensor, time_ms, value = line.split(",")
    return int(sensor), int(time_ms), 1, int(value)


class WithWindow(ProcessWindowFunction[tuple[int, int, int, int], str, int, TimeWindow]):
    """Says which window a sum belongs to."""

    def process(self, key: int, context: WindowContext[TimeWindow], elements: Iterable[tuple[int, int, int, int]]) -> Iterable[str]:
        for _, _, count, total in elements:
            yield f"{key},{context.window().start},{count},{total}"


def sensor_of(result: str) -> str:
    """The key of a message."""
    return result.partition(",")[0]


def build(options: argparse.Namespace) -> StreamExecutionEnvironment:
    """The job, ready to execute."""
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(options.parallelism)
    env.configure("job.resume", "auto").configure("execution.processes", options.processes).configure("execution.job_manager", "process")
    # By name, it does not give up when the same failure comes three times without a checkpoint in between: here it may.
    env.configure("restart.strategy", "exponential_delay").configure("restart.initial", timedelta(milliseconds=100)).configure(
        "restart.max", timedelta(seconds=1)
    )
    env.enable_checkpointing(timedelta(milliseconds=options.checkpoint_interval_ms))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.checkpoint_config.set_tolerable_checkpoint_failures(1_000)  # while the broker is away none can be complete

    stop = Offsets.given({(options.input, partition): offset for partition, offset in enumerate(json.loads(options.ends))})
    source = KafkaSource(options.bootstrap, options.input, "text", start=Offsets.earliest(), stop=stop)
    in_time = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=JITTER_MS)).with_timestamp_assigner(
        lambda reading: int(reading.split(",")[1])
    )
    readings = env.from_source(source, in_time, uid="readings").map(parsed)
    windows = readings.key_by(lambda reading: reading[0]).window(TumblingEventTimeWindows.of(timedelta(milliseconds=WINDOW_MS)))
    sums = windows.reduce(lambda a, b: (a[0], a[1], a[2] + b[2], a[3] + b[3]), WithWindow(), uid="sums")
    sums.sink_to(KafkaSink(options.bootstrap, options.output, "text", delivery=options.delivery, key=sensor_of), uid="results")
    return env


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--ends", required=True, help="JSON list: offset behind the last reading of each partition")
    parser.add_argument("--checkpoints", required=True)
    parser.add_argument("--delivery", required=True)
    parser.add_argument("--checkpoint-interval-ms", type=int, default=500)
    parser.add_argument("--parallelism", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    arm_faults("program")
    build(parse()).execute("kafka-end-to-end")
else:
    arm_faults("worker")
