"""Running counts and sums in windows per key, over several processes, into two folders exactly once."""

from __future__ import annotations

import argparse
import time
from datetime import timedelta
from pathlib import Path

from millstream import RestartStrategies, StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream_filesystem import FileSink

KEYS = 11
WINDOW_MS = 500


def key(number: int) -> str:
    return f"key-{number * number % KEYS}"


def add(one: tuple[str, int, int], other: tuple[str, int, int]) -> tuple[str, int, int]:
    return one[0], min(one[1], other[1]), one[2] + other[2]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("files", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--resume", default="auto")
    for name, default in (
        ("parallelism", 2),
        ("processes", 2),
        ("count", 20_000),
        ("rate", 6_000),
        ("stall", 0),
        ("fail", -1),
        ("restarts", 50),
        ("own", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()

    def slow(number: int) -> int:
        if options.stall:
            Path(f"{options.files}.stalled").touch()
            time.sleep(options.stall)
        if number == options.fail:
            raise ValueError(f"no {number}, please")
        return number

    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(options.parallelism)
    env.configure("execution.processes", options.processes)
    env.configure("execution.job_manager", "process" if options.own else "client")
    env.configure("job.max_parallelism", 64)
    env.enable_checkpointing(timedelta(milliseconds=200))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.set_restart_strategy(RestartStrategies.fixed_delay(options.restarts, timedelta(milliseconds=10)))
    env.configure("job.resume", options.resume)
    in_time = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=10)).with_timestamp_assigner(lambda number: number)
    numbers = env.generate(lambda number: number, options.count, options.rate, in_time, uid="in").map(slow)
    counts = numbers.map(lambda number: (key(number), 1)).key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count")
    counts.sink_to(FileSink(f"{options.files}/counts", format="json", delivery="exactly_once"), uid="counts")
    sums = numbers.map(lambda number: (key(number), number // WINDOW_MS, number)).key_by(lambda entry: entry[0])
    window = sums.window(TumblingEventTimeWindows.of(timedelta(milliseconds=WINDOW_MS))).reduce(add, uid="sum")
    window.sink_to(FileSink(f"{options.files}/sums", format="json", delivery="exactly_once"), uid="sums")
    result = env.execute("keyed")
    print(f"{result.status.value} restarts={result.restarts} in={result.counts['generator.numRecordsOut']}")


if __name__ == "__main__":
    main()
