"""The hand-written plain-Python loops that the engines are compared with: one thread, dict state, nothing but the work.

`*_inline` spells everything out: the limit. `*_calls` is the same loop calling the user functions that the engines call, the most
that an engine in Python can reach with functions of its users. All read and write batches, as the engines do.

They are written as one writes such a loop, not squeezed: a W3 loop that remembers the window of the last record, as Millstream's window
operator does, takes about a third less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
    warm_fahrenheit_or_none,
    without_time,
)
from input import BATCH, Reading, Run, Write


def batches(values: list[Reading]) -> Iterator[list[Reading]]:
    """The input in slices of one batch."""
    return (values[first : first + BATCH] for first in range(0, len(values), BATCH))


def timed(loop: Callable[[list[Reading], Write], None]) -> Callable[[list[Reading], Write], Run]:
    """Makes a loop a case: something that is prepared first and timed later."""

    def prepare(values: list[Reading], write: Write) -> Run:
        return lambda: loop(values, write)

    return prepare


@timed
def w1_inline(values: list[Reading], write: Write) -> None:
    """Map, filter, map."""
    for batch in batches(values):
        write([(sensor, heat) for sensor, _, celsius in batch if (heat := celsius * 1.8 + 32.0) > 68.0])


@timed
def w1_calls(values: list[Reading], write: Write) -> None:
    """Map, filter, map through the user functions."""
    for batch in batches(values):
        write([without_time(heat) for reading in batch if is_warm(heat := to_fahrenheit(reading))])


@timed
def w1_map_batch(values: list[Reading], write: Write) -> None:
    """The function of the `map_batch` job, and a filter for what it has marked."""
    for batch in batches(values):
        write(list(filter(None, warm_fahrenheit_or_none(batch))))


@timed
def w2_inline(values: list[Reading], write: Write) -> None:
    """Running count and minimum per sensor, one output per input."""
    state: dict[str, Extremes] = {}
    for batch in batches(values):
        out: list[Extremes] = []
        for sensor, _, celsius in batch:
            try:
                last = state[sensor]
            except KeyError:
                last = (sensor, 1, celsius)
            else:
                last = (sensor, last[1] + 1, celsius if celsius < last[2] else last[2])
            state[sensor] = last
            out.append(last)
        write(out)


@timed
def w2_calls(values: list[Reading], write: Write) -> None:
    """Running count and minimum through the user's map, key and reduce functions."""
    state: dict[str, Extremes] = {}
    for batch in batches(values):
        out: list[Extremes] = []
        for reading in batch:
            record = one_reading(reading)
            sensor = sensor_of(record)
            try:
                last = state[sensor]
            except KeyError:
                last = record
            else:
                last = merge(last, record)
            state[sensor] = last
            out.append(last)
        write(out)


@timed
def w3_inline(values: list[Reading], write: Write) -> None:
    """The lowest reading per sensor and window; a window goes out when the event time is 3 s past its end."""
    windows: dict[int, dict[str, Reading]] = {}
    newest, next_due = 0, 1 << 62
    for batch in batches(values):
        for reading in batch:
            sensor, event_time_ms, celsius = reading
            start = event_time_ms - event_time_ms % WINDOW_MS
            try:
                window = windows[start]
            except KeyError:
                window = windows[start] = {}
                next_due = min(windows) + WINDOW_MS + BOUND_MS
            try:
                if celsius < window[sensor][2]:
                    window[sensor] = reading
            except KeyError:
                window[sensor] = reading
            if event_time_ms > newest:
                newest = event_time_ms
                if newest >= next_due:
                    next_due = write_due(windows, newest, write)
    write_due(windows, 1 << 62, write)


@timed
def w3_calls(values: list[Reading], write: Write) -> None:
    """The lowest reading per sensor and window through the user's time, key and reduce functions."""
    windows: dict[int, dict[str, Reading]] = {}
    newest, next_due = 0, 1 << 62
    for batch in batches(values):
        for reading in batch:
            event_time_ms = time_of(reading)
            sensor = sensor_of(reading)
            start = event_time_ms - event_time_ms % WINDOW_MS
            try:
                window = windows[start]
            except KeyError:
                window = windows[start] = {}
                next_due = min(windows) + WINDOW_MS + BOUND_MS
            try:
                window[sensor] = lower(window[sensor], reading)
            except KeyError:
                window[sensor] = reading
            if event_time_ms > newest:
                newest = event_time_ms
                if newest >= next_due:
                    next_due = write_due(windows, newest, write)
    write_due(windows, 1 << 62, write)


def write_due(windows: dict[int, dict[str, Reading]], newest: int, write: Write) -> int:
    """Writes and forgets the windows that are complete at `newest`; returns when the next one will be."""
    for start in sorted(windows):
        if start + WINDOW_MS + BOUND_MS <= newest:
            write(list(windows.pop(start).values()))
    return min(windows, default=1 << 61) + WINDOW_MS + BOUND_MS
