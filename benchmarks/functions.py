"""The user functions of the workloads: the same objects run in Millstream, in the calling loops and in bytewax.

Written as job authors write them. The loops of limits.py that have everything inline spell out the same arithmetic.
"""

# ruff: noqa: E731 - lambdas on purpose: they are what is measured
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from input import Reading

Extremes: TypeAlias = tuple[str, int, float]
"""Sensor id, readings so far, lowest reading so far."""

WINDOW_MS = 15_000
BOUND_MS = 3_000

# W1: map, filter, map.
to_fahrenheit: Callable[[Reading], Reading] = lambda r: (r[0], r[1], r[2] * 1.8 + 32.0)
is_warm: Callable[[Reading], bool] = lambda r: r[2] > 68.0
without_time: Callable[[Reading], tuple[str, float]] = lambda r: (r[0], r[2])

# W2: a map and a reduce, or a fold over the readings themselves.
one_reading: Callable[[Reading], Extremes] = lambda r: (r[0], 1, r[2])
sensor_of: Callable[[Any], str] = lambda r: r[0]
merge: Callable[[Extremes, Extremes], Extremes] = lambda a, b: (a[0], a[1] + b[1], b[2] if b[2] < a[2] else a[2])
NO_READING: Extremes = ("", 0, float("inf"))
fold_in: Callable[[Extremes, Reading], Extremes] = lambda a, r: (r[0], a[1] + 1, r[2] if r[2] < a[2] else a[2])

# W3: event time, key as above, the lower of two readings.
time_of: Callable[[Reading], int] = lambda r: r[1]
lower: Callable[[Reading, Reading], Reading] = lambda a, b: b if b[2] < a[2] else a


def warm_fahrenheit(batch: list[Reading]) -> list[tuple[str, float]]:
    """W1 as one function over a batch that may give fewer records than it got."""
    return [(sensor, heat) for sensor, _, celsius in batch if (heat := celsius * 1.8 + 32.0) > 68.0]


def warm_fahrenheit_or_none(batch: list[Reading]) -> list[tuple[str, float] | None]:
    """The same for `map_batch`, which asks for one output per input: None marks what the filter behind it takes out."""
    return [(sensor, heat) if (heat := celsius * 1.8 + 32.0) > 68.0 else None for sensor, _, celsius in batch]
