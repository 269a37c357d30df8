"""Timers of keyed operators: one table from time to the keys that wait for it, and a heap of the times.

A key, a time and a domain make one timer. Timers with the same time fire in the order of their registration. The table is keyed state:
it is in every checkpoint and moves with its keys.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from millstream.errors import InvalidArgument, TimerLoop
from millstream.ports import crash_point
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

MOST_BACKWARD_STEPS: Final = 100_000
"""Timers that one watermark may fire at or before a time it has fired already. Beyond it a function is taken to register itself for ever."""

MOST_GENERATIONS: Final = 100_000
"""How long a series of timers, each registered by the one before, may be at the end of the input, where every time has come."""


class TimerQueue:
    """The timers of one time domain."""

    def __init__(self) -> None:
        self._table: MutableMapping[int, Any] = {}
        self._heap: list[int] = []
        self._bound = False
        # While the end of the input fires timers: by time, how many timers in a row led to the one registered there.
        self._generations: dict[int, int] | None = None
        self._generation = 0

    def bind(self, table: MutableMapping[int, Any]) -> None:
        """Takes the table {time: {key: None}}: restored at first, later the one that took its place."""
        self._table = table
        if not self._bound:
            self._heap = sorted(table)
            self._bound = True

    def register(self, key: Any, timestamp: int) -> None:
        """Adds a timer, unless it is there.

        Raises:
            InvalidArgument: the timestamp is no event time.
        """
        if type(timestamp) is not int or not MIN_TIMESTAMP <= timestamp <= MAX_TIMESTAMP:
            raise InvalidArgument(what="the time of a timer", value=repr(timestamp), allowed="an int: ms since the epoch, in 64 bits")
        hash(key)  # NO_KEY refuses it, before anything changes
        if self._generations is not None:
            self._generations[timestamp] = max(self._generation + 1, self._generations.get(timestamp, 0))
        keys = self._table.get(timestamp)
        if keys is None:
            self._table[timestamp] = {}
            keys = self._table[timestamp]
            heapq.heappush(self._heap, timestamp)
        keys[key] = None

    def delete(self, key: Any, timestamp: int) -> None:
        """Removes a timer, if it is there."""
        keys = self._table.get(timestamp)
        if keys is not None:
            keys.pop(key, None)
            if not len(keys):
                del self._table[timestamp]  # its heap entry is skipped when its time comes

    def next_time(self) -> int | None:
        """The earliest time some key waits for."""
        heap = self._heap
        while heap and heap[0] not in self._table:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def fire(self, until: int, on_timer: Callable[[int, Any], None]) -> None:
        """Calls `on_timer(time, key)` for every timer with time <= until, also for those registered on the way."""
        last, backward_steps = None, 0
        self._generations = {} if until == MAX_TIMESTAMP else None
        while (time := self.next_time()) is not None and time <= until:
            if last is not None and time <= last:
                backward_steps += 1
                if backward_steps > MOST_BACKWARD_STEPS:
                    raise TimerLoop(time=time, until=until)
            last = time
            if self._generations is not None:
                self._generation = self._generations.pop(time, 0)
                if self._generation > MOST_GENERATIONS:
                    raise TimerLoop(time=time, until=until)
            heapq.heappop(self._heap)
            waiting = list(self._table[time])
            for position, key in enumerate(waiting):
                if position == len(waiting) // 2:
                    crash_point("task.timers.firing")
                keys = self._table.get(time)
                if keys is None or key not in keys:
                    continue  # deleted by a timer that fired before it
                keys.pop(key)
                if not len(keys):
                    del self._table[time]
                on_timer(time, key)
            if time in self._table and (not self._heap or self._heap[0] != time):
                # Registered again for the same time while it was firing.
                heapq.heappush(self._heap, time)
        self._generations = None
