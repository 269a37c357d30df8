"""The sensor readings that every engine is given: the same for the same number of records, whatever the Python version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

Reading: TypeAlias = tuple[str, int, float]
"""Sensor id, event time in ms since 1970, degrees Celsius."""

Write: TypeAlias = Callable[[Sequence[Any]], None]
"""Where a case puts its outputs, a batch at a time."""

Run: TypeAlias = Callable[[], Mapping[str, float] | None]
"""What is timed. It may return figures of its own, such as the number of checkpoints."""

SENSORS = 1_000
START_MS = 1_700_000_000_000
OUT_OF_ORDER_MS = 2_900
"""How far the late 2% are pulled back at most: below the 3 s bound of the jobs, so nothing is dropped and there is one right answer."""

BATCH = 1_000
"""Records that every source hands over at once, the hand-written loops included."""


def readings(records: int, seed: int = 7) -> list[Reading]:
    """Readings in order of arrival, two a millisecond of event time."""
    random = Random(seed)
    uniform, gauss = random.random, random.gauss
    sensors = [f"sensor-{number:04d}" for number in range(SENSORS)]
    made: list[Reading] = []
    for index in range(records):
        event_time_ms = START_MS + index // 2
        if uniform() < 0.02:
            event_time_ms -= int(uniform() * OUT_OF_ORDER_MS)
        made.append((sensors[int(uniform() * SENSORS)], event_time_ms, round(gauss(20.0, 8.0), 2)))
    return made
