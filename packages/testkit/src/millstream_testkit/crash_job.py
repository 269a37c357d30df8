"""The job that is killed: numbers in, rows out, in a process of its own.

    python -m millstream_testkit.crash_job --harness module:class --target TARGET --checkpoints FOLDER [options]

Environment: MILLSTREAM_CRASH arms crash points (`millstream.ports.crash`, `millstream_testkit.steps`); MILLSTREAM_TESTKIT_MESSAGES names
message faults (`millstream_testkit.messages`); MILLSTREAM_TESTKIT_COUNT is a file to which the number of passes of every crash point is
written when the job is done; MILLSTREAM_TESTKIT_PATH is the import path of whoever wrote the harness; MILLSTREAM_TESTKIT_FAULTS has the plan of
faults of a job over several processes (`millstream_testkit.processes.armed`).

Exit code: 0 when the job came to its end.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from millstream import KeyedProcessFunction, RestartStrategies, StreamExecutionEnvironment, ValueStateDescriptor, WatermarkStrategy
from millstream.runtime.launch import system_ports
from millstream.runtime.user_code import is_program
from millstream_testkit.counting import COUNT_VARIABLE, count_passes
from millstream_testkit.epoch_source import EpochSource
from millstream_testkit.harness import SinkHarness
from millstream_testkit.loading import load, take_over_import_path
from millstream_testkit.messages import FaultyTransport
from millstream_testkit.oracle import Row
from millstream_testkit.processes.armed import arm_faults
from millstream_testkit.steps import watch_steps

JOB_NAME = "crash job"


class CountByTimer(KeyedProcessFunction[int, int, Row]):
    """Gives each number its place among those of its key. Counts when the number's timer fires, so that timers are part of the test."""

    def open(self, context: Any) -> None:
        self._count = context.get_state(ValueStateDescriptor("count", int))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        ctx.timer_service().register_event_time_timer(value)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        count = (self._count.value() or 0) + 1
        self._count.update(count)
        out.collect((timestamp, ctx.get_current_key(), count))


def build(options: argparse.Namespace) -> StreamExecutionEnvironment:
    """The job, ready to execute."""
    env = _over_processes(options) if options.processes else _in_this_process()
    env.set_parallelism(options.parallelism)
    env.set_max_parallelism(8)
    env.enable_checkpointing(timedelta(milliseconds=options.interval_ms))
    # The pause lets the source begin its next epoch, so that each checkpoint has one, in every run.
    env.checkpoint_config.set_min_pause_between_checkpoints(timedelta(milliseconds=10))
    env.checkpoint_config.set_checkpoint_timeout(timedelta(milliseconds=options.checkpoint_timeout_ms))
    env.checkpoint_config.set_tolerable_checkpoint_failures(6 if options.processes else 3)
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.checkpoint_config.set_retained_checkpoints(options.retained)
    env.configure("checkpoint.incremental_from", 0)  # so small a state would be stored whole, and no shared file ever be deleted
    env.configure("job.resume", options.resume)
    env.configure("job.rewind", options.rewind)

    source = EpochSource(options.records, options.per_epoch, options.splits, options.journal)
    numbers = env.from_source(source, watermark_strategy=WatermarkStrategy.for_monotonous_timestamps(), uid="numbers")
    keys = options.keys
    if options.shape == "keyed":
        rows = numbers.key_by(lambda number: number % keys).process(CountByTimer(), uid="count")
    else:
        rows = numbers.map(lambda number: (number, number % keys, number // keys + 1))
    harness: SinkHarness = load(options.harness)()
    if type(harness).record is not SinkHarness.record:
        rows = rows.map(harness.record)
    sink = harness.sink(options.target)
    if COUNT_VARIABLE in os.environ or "testkit." in os.environ.get("MILLSTREAM_CRASH", ""):
        watch_steps(sink.resolve())
    rows.sink_to(sink, uid="out")
    return env


def _in_this_process() -> StreamExecutionEnvironment:
    ports = system_ports(seed=None)
    faults = os.environ.get("MILLSTREAM_TESTKIT_MESSAGES", "")
    env = StreamExecutionEnvironment(ports=replace(ports, transport=FaultyTransport(ports.transport, faults)))
    env.set_restart_strategy(RestartStrategies.no_restart())
    return env


def _over_processes(options: argparse.Namespace) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment()
    env.configure("execution.processes", options.processes)
    env.configure("execution.heartbeat_timeout", timedelta(milliseconds=options.heartbeat_timeout_ms))
    env.set_restart_strategy(RestartStrategies.fixed_delay(20, timedelta(0)))
    return env


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harness", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--checkpoints", required=True)
    parser.add_argument("--journal")
    parser.add_argument("--shape", choices=("chained", "keyed"), default="keyed")
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--per-epoch", type=int, default=5)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--keys", type=int, default=4)
    parser.add_argument("--interval-ms", type=int, default=20)
    parser.add_argument("--checkpoint-timeout-ms", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--heartbeat-timeout-ms", type=int, default=50_000)
    parser.add_argument("--resume", default="auto")
    parser.add_argument("--rewind", action="store_true")
    parser.add_argument("--retained", type=int, default=1)
    return parser.parse_args()


def prepare_worker() -> None:
    """Makes a TaskManager process find the harness, and arms what is to happen to it."""
    take_over_import_path()
    load(parse().harness)
    arm_faults("worker")


def main() -> None:
    take_over_import_path()
    options = parse()
    count_to = os.environ.get(COUNT_VARIABLE)
    write_counts = count_passes(count_to) if count_to else None
    arm_faults("program")
    build(options).execute(JOB_NAME)
    if write_counts is not None:
        write_counts()


if not is_program():  # a process of the job imports this module as its script
    prepare_worker()

if __name__ == "__main__":
    main()
