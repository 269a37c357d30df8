"""Readings of sensors, and what the job must make of them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SENSORS: Final = 50
WINDOW_MS: Final = 15_000
_BEGIN_MS: Final = 1_700_000_000_000
_STEP_MS: Final = 200


def readings(count: int, seed: int) -> Iterator[tuple[str, int, float]]:
    """Sensor, event time in ms and temperature; up to 2 s out of order."""
    random = Random(seed)  # noqa: S311 - no secrets
    for number in range(count):
        time_ms = _BEGIN_MS + number // SENSORS * _STEP_MS - random.randrange(2_000)
        yield f"sensor-{number % SENSORS:02}", time_ms, round(random.gauss(20.0, 5.0), 2)


def partition_of(sensor: str, partitions: int) -> int:
    """All readings of a sensor are in one partition."""
    return int(sensor.removeprefix("sensor-")) % partitions


def lowest(count: int, seed: int) -> dict[tuple[str, int], float]:
    """The lowest temperature by sensor and start of the window: the whole truth, found in another way than the job does."""
    found: dict[tuple[str, int], float] = {}
    for sensor, time_ms, temperature in readings(count, seed):
        window = sensor, time_ms - time_ms % WINDOW_MS
        found[window] = min(temperature, found.get(window, temperature))
    return found
