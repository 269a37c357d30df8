"""The input, and what must come out of it: known to the writer and to the reader outside, and not to the job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WINDOW_MS = 2_000
STEP_MS = 100
"""Of event time between two readings of a sensor."""

JITTER_MS = 350
"""How far a reading may come behind a later one; the job allows for as much."""


@dataclass(frozen=True)
class Plan:
    """Reading n is of sensor `n % sensors`, and in the partition `sensor % partitions`.

    Attributes:
        records: in all.
    """

    records: int
    sensors: int = 200
    partitions: int = 4

    def reading(self, number: int) -> tuple[int, int, int]:
        """Sensor, event time in ms and value of one reading."""
        sensor, turn = number % self.sensors, number // self.sensors
        jitter_ms = number * 2_654_435_761 % (JITTER_MS + 1)
        return sensor, turn * STEP_MS + JITTER_MS - jitter_ms, number

    def message(self, number: int) -> tuple[int, bytes]:
        """Partition and value: `sensor,timestamp,value`."""
        sensor, time_ms, value = self.reading(number)
        return sensor % self.partitions, b"%d,%d,%d" % (sensor, time_ms, value)

    def in_partition(self) -> list[int]:
        """How many messages each partition gets."""
        of_sensor = [len(range(sensor, self.records, self.sensors)) for sensor in range(self.sensors)]
        return [sum(of_sensor[partition :: self.partitions]) for partition in range(self.partitions)]

    def windows(self) -> dict[tuple[int, int], tuple[int, int]]:
        """How many readings each window of each sensor has, and the sum of their values, by sensor and start of the window."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for sensor, time_ms, value in map(self.reading, range(self.records)):
            window = sensor, time_ms - time_ms % WINDOW_MS
            count, total = found.get(window, (0, 0))
            found[window] = count + 1, total + value
        return found

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """All of them, in order."""
        return map(self.message, range(self.records))
