"""Gives turns, in an order that a seed decides."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.testing.process import Party, SimulatedProcess
    from millstream.testing.world import World

_SPEEDS: Final = (1.0, 1.0, 1.0, 0.3, 0.03)
"""A party that is given a turn takes it with this probability: some get far behind the others."""

_STEP_S: Final = (0.0001, 0.001, 0.005)
"""Longest time that one step takes."""

_READING_S: Final = (0.0, 0.000_001, 0.003)

Seat: TypeAlias = "tuple[str, Party, SimulatedProcess | None]"
"""A party with its name, and the process that it is in, if any."""


class Stuck(AssertionError):
    """Nobody has anything to do, now or later, and the job is not over."""


class Aborted(BaseException):
    """The run has failed while somebody stood still, whose code must not take that for an error of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Table(Protocol):
    """Who takes part."""

    def seats(self) -> list[Seat]:
        """Who could take a turn now."""

    def moments(self) -> Iterable[float]:
        """Times at which something else is to happen."""

    def between(self) -> None:
        """Called between turns."""

    def progressed(self) -> None:
        """Called after each turn that was one."""


class Turns:
    """Chooses whose turn it is.

    Within a turn, `run_within` lets everybody else go on while that one stands still.
    """

    def __init__(self, world: World, table: Table) -> None:
        self._world = world
        self._table = table
        self._random = world.random("schedule")
        self._speeds: dict[str, float] = {}
        self._speeds_until = 0
        self._step_s = 0.0

    def run(self, until: Callable[[], bool]) -> None:
        """Gives turns until the condition holds; when nobody has anything to do, time passes.

        Raises:
            Stuck: nobody will ever have anything to do.
        """
        if not self._run(until):
            raise Stuck(f"nobody has anything to do, at {self._world.clock.now_s:.3f} s")

    def run_within(self, until: Callable[[], bool], limit_s: float) -> None:
        """The same in the middle of a turn, at most until a moment, or until nobody else has anything to do.

        Raises:
            Aborted: instead of any error.
        """
        try:
            self._run(lambda: self._world.clock.now_s >= limit_s or until(), limit_s)
        except Exception as error:
            raise Aborted(error) from error

    def _run(self, until: Callable[[], bool], limit_s: float = inf) -> bool:
        clock, table = self._world.clock, self._table
        while True:
            table.between()
            if until():
                return True
            seats = table.seats()
            tried_s = clock.now_s
            if self._one_turn(seats):
                continue
            # Nobody has anything to do. Until somebody has, only those are asked again whose time has come.
            while True:
                moments = [moment_s for moment_s in (*table.moments(), limit_s) if moment_s > tried_s]
                dates = [(due_s, seat) for seat in seats if (due_s := seat[1].next_due_s()) is not None and due_s > tried_s]
                tried_s = min([*moments, *(due_s for due_s, _ in dates)], default=inf)
                if tried_s == inf:
                    return False
                clock.advance_to(tried_s)
                if (moments and min(moments) <= tried_s) or self._one_turn([seat for due_s, seat in dates if due_s <= tried_s]):
                    break

    def _one_turn(self, seats: list[Seat]) -> bool:
        """A turn of one of them. False when none had anything to do."""
        while seats:
            seat = self._choose(seats)
            if self._turn(seat):
                return True
            seats = [other for other in seats if other is not seat]
        return False

    def _choose(self, ready: list[Seat]) -> Seat:
        random, steps = self._random, self._world.steps
        if steps >= self._speeds_until:
            self._speeds.clear()
            self._speeds_until = steps + 32 + random.below(256)
            self._step_s = _STEP_S[random.below(len(_STEP_S))]
            self._world.clock.reading_s = _READING_S[random.below(len(_READING_S))]
        for _ in range(4):
            seat = ready[random.below(len(ready))]
            speed = self._speeds.get(seat[0])
            if speed is None:
                speed = self._speeds[seat[0]] = _SPEEDS[random.below(len(_SPEEDS))]
            if random.random() < speed:
                break
        return seat

    def _turn(self, seat: Seat) -> bool:
        name, party, process = seat
        world = self._world
        world.steps += 1
        steps = world.steps
        progressed = party.run_once() if process is None else process.take_turn(party)
        progressed = progressed or world.steps > steps  # it stood still, and much has changed meanwhile
        if progressed:
            world.note(name)
            world.clock.advance(self._random.random() * self._step_s)
            self._table.progressed()
        return progressed
