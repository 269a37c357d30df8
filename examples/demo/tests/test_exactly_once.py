"""The main job under the faults of the test kit, as any job of a user's own would be: see docs/testkit/test-your-job.md."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream_testkit import exactly_once_test

sys.path.insert(0, str(Path(__file__).parents[1]))
import generate
import job

READINGS, SEED, WINDOW_MS = 2_400, 7, 15_000


def lowest_temperatures(source: str, sink: str) -> StreamExecutionEnvironment:
    return built(source, sink, "exactly_once")


def at_least_once(source: str, sink: str) -> StreamExecutionEnvironment:
    return built(source, sink, "at_least_once")


def built(source: str, sink: str, delivery: str) -> StreamExecutionEnvironment:
    options = {"checkpoints": "memory", "checkpoint_interval_ms": 50, "rate": 4_000, "parallelism": 1}
    return job.build(Namespace(input=source, output=sink, delivery=delivery, **options))


def write_readings(folder: Path) -> Path:
    generate.write(folder / "readings", READINGS, SEED)
    return folder / "readings"


def read_windows(sink: str) -> Iterator[tuple[str, int, float]]:
    for path in Path(sink).glob("[!.]*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield row["id"], int(row["window_start"]), float(row["temperature"])


def right_answer() -> list[tuple[str, int, float]]:
    lowest: dict[tuple[str, int], float] = {}
    for sensor, timestamp, temperature in generate.readings(READINGS, SEED):
        window = sensor, timestamp - timestamp % WINDOW_MS
        lowest[window] = min(temperature, lowest.get(window, temperature))
    return [(*window, temperature) for window, temperature in lowest.items()]


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_each_window_shows_once_wherever_the_job_dies(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    with exactly_once_test(lowest_temperatures, source=write_readings, sink=read_windows, expected=right_answer(), folder=tmp_path) as t:
        t.crash_everywhere(at_most=None if pytestconfig.option.millstream_full else 6)
        t.zombie_at("sink.commit.before", 2)


@pytest.mark.faults
@pytest.mark.timeout(150)
def test_the_same_job_without_exactly_once_is_caught(tmp_path: Path) -> None:
    damage = r"after checkpoint.metadata.before_rename#[\s\S]* doubled"
    tested = exactly_once_test(at_least_once, source=write_readings, sink=read_windows, expected=right_answer(), folder=tmp_path)
    with pytest.raises(AssertionError, match=damage), tested as t:
        crash_before_checkpoints(t)


def crash_before_checkpoints(t: Any) -> None:
    """One after the other: a checkpoint before which no window was written shows no damage."""
    passes = t.passes["checkpoint.metadata.before_rename"]
    for eighth in (4, 6, 2, 5, 3):
        t.crash_at("checkpoint.metadata.before_rename", max(1, passes * eighth // 8))
