"""A job over two processes with some hundred kB of state, and a machine that has too little of something: bad input for `test_bad_input`."""

from __future__ import annotations

import argparse
import os
import resource
import signal
from datetime import timedelta

from millstream import KeyedProcessFunction, RestartStrategies, StreamExecutionEnvironment, ValueStateDescriptor
from millstream_filesystem import FileSink

KEYS = 40


class Padded(KeyedProcessFunction[int, int, tuple[int, int]]):
    """Counts per key, and keeps 8 kB beside each count."""

    def open(self, context):
        self._state = context.get_state(ValueStateDescriptor("padded"))

    def process_element(self, value, ctx, out):
        count = (self._state.value() or ("", 0))[1] + 1
        self._state.update((chr(65 + count % 26) * 8_000, count))
        out.collect((ctx.get_current_key(), count))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("files", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("count", 4_000), ("rate", 1_000_000), ("file-kb", 0), ("memory-mb", 0), ("greedy", -1), ("killed", -1), ("restarts", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()

    def hungry(number: int) -> int:
        if number == options.greedy:
            return len(bytearray(options.memory_mb << 20)) * 0 + number
        if number == options.killed:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory runs out
        return number

    if options.file_kb:  # what a write beyond it gets is an OSError, as on a disk that is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_kb << 10, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if options.memory_mb:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory_mb << 20, resource.getrlimit(resource.RLIMIT_AS)[1]))
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    env.configure("execution.processes", 2)
    env.configure("job.resume", "auto")
    env.enable_checkpointing(timedelta(milliseconds=100))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    if options.restarts >= 0:
        env.set_restart_strategy(RestartStrategies.fixed_delay(options.restarts, timedelta(0)))
    numbers = env.generate(lambda number: number, options.count, options.rate, uid="in").map(hungry)
    counts = numbers.key_by(lambda number: number % KEYS).process(Padded(), uid="count")
    counts.sink_to(FileSink(options.files, format="json", delivery="exactly_once"), uid="out")
    result = env.execute("limited")
    print(f"{result.status.value} restarts={result.restarts}")


if __name__ == "__main__":
    main()
