"""The lowest temperature of each sensor in 15 seconds of event time: from a topic of readings to another topic, each result exactly once.

    millstream run sensors.py -- --bootstrap-servers localhost:9092 --input readings --output lowest

A message of the input is a line `id,timestamp,temperature`, the timestamp in ms since the epoch. Killed at any moment and started again with
the same folder of checkpoints, the job goes on from its last one. Read the output with isolation.level=read_committed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from millstream import (
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    WindowContext,
)
from millstream_kafka import KafkaRecord, KafkaSink, KafkaSource, Offsets


class Reading(NamedTuple):
    """One message of the input."""

    id: str
    timestamp: int
    temperature: float


def parse(record: KafkaRecord) -> Reading:
    """A message that is no reading fails the job; `from_source(on_error=...)` would set it aside."""
    sensor, timestamp, temperature = (record.value or b"").decode().split(",")
    return Reading(sensor, int(timestamp), float(temperature))


def colder(a: Reading, b: Reading) -> Reading:
    """The one with the lower temperature; of equal ones the first."""
    return b if b.temperature < a.temperature else a


class WithWindow(ProcessWindowFunction[Reading, str, str, TimeWindow]):
    """Makes the message: `id,start of the window,temperature`."""

    def process(self, key: str, context: WindowContext[TimeWindow], elements: Iterable[Reading]) -> Iterable[str]:
        for reading in elements:
            yield f"{key},{context.window().start},{reading.temperature}"


def build(options: argparse.Namespace) -> StreamExecutionEnvironment:
    """The job, ready to execute."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.configure("job.resume", "auto")
    env.enable_checkpointing(timedelta(milliseconds=options.checkpoint_interval_ms))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)

    ends = {(options.input, partition): offset for partition, offset in enumerate(options.until or [])}
    stop = Offsets.given(ends) if ends else None
    source = KafkaSource(options.bootstrap_servers, options.input, deserializer=parse, start=Offsets.earliest(), stop=stop)
    # Of the source, not behind it: so each partition has its own watermark, and none is late because another is read faster.
    in_time = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=3)).with_timestamp_assigner(lambda reading: reading.timestamp)
    readings = env.from_source(source, in_time, uid="readings")
    windows = readings.key_by(lambda reading: reading.id).window(TumblingEventTimeWindows.of(timedelta(seconds=15)))
    lowest = windows.reduce(colder, WithWindow(), uid="lowest")
    sink = KafkaSink(options.bootstrap_servers, options.output, "text", delivery="exactly_once", key=lambda result: result.partition(",")[0])
    lowest.sink_to(sink, uid="results")
    return env


def main() -> None:
    parser = argparse.ArgumentParser(description="The lowest temperature per sensor and 15 seconds, from Kafka to Kafka.")
    parser.add_argument("--bootstrap-servers", default="localhost:9092")
    parser.add_argument("--input", default="readings", help="topic of lines id,timestamp,temperature")
    parser.add_argument("--output", default="lowest-temperatures", help="topic for the results")
    parser.add_argument("--checkpoints", default="checkpoints", help="folder for the checkpoints")
    parser.add_argument("--checkpoint-interval-ms", type=int, default=1_000)
    parser.add_argument(
        "--until", type=int, nargs="+", metavar="OFFSET", help="end there: an offset for each partition; without it the job runs for ever"
    )
    build(parser.parse_args()).execute("lowest-temperatures")


if __name__ == "__main__":
    main()
