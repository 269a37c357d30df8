"""The job: the lowest temperature per sensor and 15 seconds of event time, from CSV files to CSV files, each result exactly once.

    python examples/demo/job.py --input readings --output windows --checkpoints checkpoints
    millstream run examples/demo/job.py

Killed at any moment and started again with the same folders, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from millstream import (
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    WindowContext,
)
from millstream.formats import CsvFormat
from millstream_filesystem import FileSink


@dataclass(frozen=True)
class Reading:
    """One line of the input."""

    id: str
    timestamp: int
    temperature: float


@dataclass(frozen=True)
class Lowest:
    """One line of the output. The window covers `window_start` <= event time < `window_end`, ms."""

    id: str
    window_start: int
    window_end: int
    temperature: float


class WithWindow(ProcessWindowFunction[Reading, Lowest, str, TimeWindow]):
    """Writes beside the lowest reading which window it belongs to."""

    def process(self, key: str, context: WindowContext[TimeWindow], elements: Iterable[Reading]) -> Iterable[Lowest]:
        window = context.window()
        for reading in elements:
            yield Lowest(key, window.start, window.end, reading.temperature)


def build(options: argparse.Namespace) -> StreamExecutionEnvironment:
    """The job, ready to execute."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.configure("job.resume", "auto")
    if options.parallelism > 1:  # in so many processes, and the JobManager in one more
        env.set_parallelism(options.parallelism).configure("execution.processes", options.parallelism).configure("execution.job_manager", "process")
        env.configure("restart.initial", timedelta(milliseconds=100))
    env.enable_checkpointing(timedelta(milliseconds=options.checkpoint_interval_ms))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)

    in_time = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=3)).with_timestamp_assigner(lambda r: r.timestamp)
    # A limited rate, so that there is time to kill it: the whole input would take a second or two.
    readings = env.read_csv_file(options.input, in_time, record_type=Reading, has_header=True, records_per_second=options.rate, uid="readings")
    windows = readings.key_by(lambda reading: reading.id).window(TumblingEventTimeWindows.of(timedelta(seconds=15)))
    lowest = windows.reduce(lambda a, b: b if b.temperature < a.temperature else a, WithWindow(), uid="lowest")
    results = CsvFormat(record_type=Lowest, has_header=True)
    lowest.sink_to(FileSink(options.output, results, delivery=options.delivery), uid="windows")
    return env


def main() -> None:
    parser = argparse.ArgumentParser(description="The lowest temperature per sensor and 15 seconds.")
    parser.add_argument("--input", default="readings", help="folder of CSV files: id, timestamp (ms), temperature")
    parser.add_argument("--output", default="windows", help="folder for the results")
    parser.add_argument("--checkpoints", default="checkpoints", help="folder for the checkpoints")
    parser.add_argument("--checkpoint-interval-ms", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10_000, help="readings per second")
    parser.add_argument("--parallelism", type=int, default=1, help="more than 1: over so many TaskManager processes")
    parser.add_argument("--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once")
    build(parser.parse_args()).execute("lowest-temperatures")


if __name__ == "__main__":
    main()
