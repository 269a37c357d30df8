"""What outlives the process in a simulated run: time, the disk, the targets, and the record of what happened."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from millstream.ports import SeededRandom
from millstream.testing.disk import SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from millstream.ports import Random
    from millstream.testing.faults import Faults
    from millstream.testing.process import SimulatedProcess
    from millstream.testing.targets import Target

START_MS: Final = 1_700_000_000_000
"""The wall clock at the beginning of every simulation."""

_KEPT: Final = 40


class SimulatedClock:
    """Virtual time. It moves when the simulation moves it, when somebody waits, and a little each time it is read.

    Attributes:
        reading_s: how much a look at the clock takes. With a few ms, work that is cut into slices of time is cut into many.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self.reading_s = 0.0

    @property
    def now_s(self) -> float:
        """Seconds since the simulation began; looking takes no time."""
        return self._now_s

    def now_ms(self) -> int:
        return START_MS + int(self._now_s * 1000)

    def monotonic_s(self) -> float:
        self._now_s += self.reading_s
        return self._now_s

    def wait(self, wakeup: Event, timeout_s: float) -> None:
        if not wakeup.is_set():
            self.advance(timeout_s)
        wakeup.clear()

    def advance(self, seconds: float) -> None:
        """Moves on by `seconds` (>= 0)."""
        self._now_s += seconds

    def advance_to(self, moment_s: float) -> None:
        """Moves on to a moment; one that has passed changes nothing."""
        self._now_s = max(self._now_s, moment_s)


class Trace:
    """A hash over everything that happened, in order, and the last of it in words."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.recent: deque[str] = deque(maxlen=_KEPT)

    def add(self, event: str) -> None:
        """One more event."""
        self._hash.update(event.encode())
        self._hash.update(b"\n")
        self.recent.append(event)

    def digest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()


class World:
    """Everything that a crash of the process leaves.

    Attributes:
        injected: faults that really happened, by kind.
        passed: crash points that were passed, with how often.
        steps: turns given to anybody so far.
        calm: the job is over: nothing happens to messages any more.
        process: whose turn it is.
    """

    def __init__(self, seed: int, faults: Faults, targets: Sequence[Target[Any]]) -> None:
        self.seed = seed
        self.faults = faults
        self.targets = targets
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(self.clock)
        self.trace = Trace()
        self.injected: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.steps = 0
        self.calm = False
        self.process: SimulatedProcess | None = None

    def random(self, name: str) -> Random:
        """The sequence of that name; every consumer has its own, so that one more draw here changes nothing there."""
        return SeededRandom(f"{self.seed}/{name}")

    def note(self, event: str) -> None:
        """Adds an event with its moment to the trace."""
        self.trace.add(f"{self.clock.now_s:.6f} {event}")
