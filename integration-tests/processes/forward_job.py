"""A job of as many regions as subtasks: each reads, maps and writes for itself; with `--apart N` it maps in N slots of another group."""

from __future__ import annotations

import argparse
from datetime import timedelta

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream_filesystem import FileSink


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("files", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("count", 6_000), ("rate", 1_500), ("processes", 2), ("parallelism", 2), ("apart", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(options.parallelism)
    env.configure("execution.processes", options.processes)
    env.enable_checkpointing(timedelta(milliseconds=100))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.set_restart_strategy(RestartStrategies.fixed_delay(10, timedelta(0)))
    numbers = env.generate(lambda number: number, options.count, options.rate, uid="in").map(lambda number: [number], uid="map")
    if options.apart:
        numbers = numbers.set_parallelism(options.apart).slot_sharing_group("apart").map(lambda row: row, uid="back").slot_sharing_group("default")
    numbers.sink_to(FileSink(options.files, format="json", delivery="exactly_once"), uid="out")
    result = env.execute("forward")
    print(f"{result.status.value} restarts={result.restarts}")


if __name__ == "__main__":
    main()
