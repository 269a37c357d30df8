"""The workloads as bytewax dataflows (optional: `pip install bytewax`), with the operators its guides name for the task.

Source and sink move lists of 1,000 records, the fastest that bytewax has.
"""

# bytewax is optional and absent where the types are checked.
# mypy: disable-error-code="import-not-found,no-any-return,misc,unused-ignore"
from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import windowing
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main
from functions import (
    BOUND_MS,
    WINDOW_MS,
    Extremes,
    is_warm,
    lower,
    merge,
    one_reading,
    sensor_of,
    time_of,
    to_fahrenheit,
    warm_fahrenheit,
    without_time,
)
from input import BATCH, START_MS, Reading, Run, Write


class Laps(StatefulSourcePartition[Reading, int]):
    """A list, read again and again until `seconds` have gone by; then the lap is finished. Once for 0 seconds."""

    def __init__(self, values: list[Reading], seconds: float, position: int) -> None:
        self._values = values
        self._until_s = time.monotonic() + seconds
        self._position = position

    def next_batch(self) -> list[Reading]:
        if self._position == len(self._values):
            if time.monotonic() >= self._until_s:
                raise StopIteration
            self._position = 0
        batch = self._values[self._position : self._position + BATCH]
        self._position += len(batch)
        return batch

    def snapshot(self) -> int:
        return self._position


class Readings(FixedPartitionedSource[Reading, int]):
    """The input as one partition."""

    def __init__(self, values: list[Reading], seconds: float = 0.0) -> None:
        self._values = values
        self._seconds = seconds

    def list_parts(self) -> list[str]:
        return ["all"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Laps:
        return Laps(self._values, self._seconds, resume_state or 0)


class Writer(StatelessSinkPartition[Any]):
    """Hands every batch to a function."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write_batch(self, items: list[Any]) -> None:
        self._write(items)


class CallingSink(DynamicSink[Any]):
    """Hands every batch to a function."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Writer:
        return Writer(self._write)


def w1(values: list[Reading], write: Write) -> Run:
    """Map, filter, map."""
    flow = Dataflow("w1")
    stream = op.input("readings", flow, Readings(values))
    warm = op.filter("warm", op.map("fahrenheit", stream, to_fahrenheit), is_warm)
    op.output("out", op.map("shorten", warm, without_time), CallingSink(write))
    return lambda: run_main(flow)


def w1_batch(values: list[Reading], write: Write) -> Run:
    """The same in one function over a batch."""
    flow = Dataflow("w1_batch")
    stream = op.input("readings", flow, Readings(values))
    op.output("out", op.flat_map_batch("warm", stream, warm_fahrenheit), CallingSink(write))
    return lambda: run_main(flow)


def running(last: Extremes | None, record: Extremes) -> tuple[Extremes, Extremes]:
    """The reduce function as `stateful_map` wants it: new state and output."""
    merged = record if last is None else merge(last, record)
    return merged, merged


def w2_flow(values: list[Reading], write: Write, seconds: float = 0.0) -> Dataflow:
    """Running count and minimum per sensor."""
    flow = Dataflow("w2")
    records = op.map("one", op.input("readings", flow, Readings(values, seconds)), one_reading)
    extremes = op.stateful_map("extremes", op.key_on("key", records, sensor_of), running)
    op.output("out", op.key_rm("unkey", extremes), CallingSink(write))
    return flow


def w2(values: list[Reading], write: Write) -> Run:
    """Running count and minimum per sensor."""
    flow = w2_flow(values, write)
    return lambda: run_main(flow)


def w3(values: list[Reading], write: Write) -> Run:
    """The lowest reading per sensor and 15 s window."""
    flow = Dataflow("w3")
    keyed = op.key_on("key", op.input("readings", flow, Readings(values)), sensor_of)
    clock = windowing.EventClock(
        lambda reading: datetime.fromtimestamp(time_of(reading) / 1000, UTC),
        wait_for_system_duration=timedelta(milliseconds=BOUND_MS),
        # By default it looks for due windows all the time where event time lies in the past, and takes about twice as long.
        to_system_utc=lambda _: None,
    )
    # Aligned to a multiple of the window since 1970, as the other engines are.
    align_to = datetime.fromtimestamp(START_MS // WINDOW_MS * WINDOW_MS / 1000, UTC)
    windower = windowing.TumblingWindower(length=timedelta(milliseconds=WINDOW_MS), align_to=align_to)
    lowest = windowing.reduce_window("lowest", keyed, clock, windower, lower)
    op.output("out", op.map("unkey", lowest.down, lambda item: item[1][1]), CallingSink(write))
    return lambda: run_main(flow)


def w6_without(values: list[Reading], write: Write, seconds: float = 0.0) -> Run:
    """W2 for `seconds` (0: the input once), without recovery."""
    flow = w2_flow(values, write, seconds)
    return lambda: run_main(flow)


def w6(values: list[Reading], write: Write, seconds: float = 0.0) -> Run:
    """The same with recovery: a snapshot each second."""
    flow = w2_flow(values, write, seconds)

    def run() -> Mapping[str, float] | None:
        with tempfile.TemporaryDirectory() as folder:
            init_db_dir(Path(folder), 1)
            run_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(folder))
        return None

    return run
