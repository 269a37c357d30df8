"""A simulated process: what ends with it, and its turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from millstream.ports.crash import CrashPointReached
from millstream.testing.executor import SimulatedExecutor
from millstream.testing.faults import EverythingDied
from millstream.testing.storage import SimulatedStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.testing.fault_plan import FaultPlan
    from millstream.testing.world import World


class Party(Protocol):
    """Somebody who takes turns."""

    def run_once(self) -> bool:
        """One turn. False when there was nothing to do."""

    def next_due_s(self) -> float | None:
        """Monotonic time at which a turn is worth taking again; None to wait for others."""


Parties: TypeAlias = "list[tuple[str, Party]]"


class Activity:
    """A party of two functions."""

    def __init__(self, run_once: Callable[[], bool], next_due_s: Callable[[], float | None]) -> None:
        self.run_once = run_once
        self.next_due_s = next_due_s


class SimulatedProcess:
    """A process.

    Args:
        name: no other process of the run has it.
        plan: what goes wrong with it.

    Attributes:
        launched: what it is there for has begun.
        dead: it takes no turns any more, and changes nothing.
        busy: it is in the middle of a turn; perhaps it stands still there while others go on.
        resumed_s: when it last went on after having stood still.
        stopped_s: since when it stands still.
        stands_until_s: until when.
        ends_s: when it will notice that it has to end.
    """

    is_task_manager = False
    launched = True

    def __init__(self, name: str, world: World, plan: FaultPlan) -> None:
        self.name = name
        self.world = world
        self.plan = plan
        self.dead = False
        self.busy = False
        self.resumed_s = world.clock.now_s
        self.stopped_s: float | None = None
        self.stands_until_s: float | None = None
        self.ends_s: float | None = None
        self.storage = SimulatedStorage(world, self)
        self.executor = SimulatedExecutor(world, name)

    def parties(self) -> Parties:
        """Who takes turns in it."""
        return [(f"{self.name} executor", self.executor)]

    def take_turn(self, party: Party) -> bool:
        """One turn of a party. False when there was nothing to do.

        Raises:
            EverythingDied: all processes die.
        """

        def turn() -> bool:
            self.plan.step(self)
            return party.run_once()

        return self.run(turn)

    def run(self, action: Callable[[], bool]) -> bool:
        """Runs something in this process. True also when it dies of it.

        Raises:
            EverythingDied: all processes die.
        """
        world = self.world
        before, world.process = world.process, self
        was_busy, self.busy = self.busy, True
        try:
            return action()
        except EverythingDied:
            raise
        except CrashPointReached as crash:
            if not self.dead:
                self.die(crash.name)
            return True
        except Exception:
            if self.dead:  # what its code says to the end of the world does not matter
                return True
            raise
        finally:
            self.busy = was_busy
            world.process = before

    def die(self, where: str) -> None:
        """It is gone from now on, with all it had in memory."""
        self.world.note(f"{self.name} dies at {where}")
        self.dead = self.storage.dead = True
        self.executor.close()

    def lose_buffers(self) -> None:
        """What it had not handed to the system is gone, or part of it."""
        self.world.disk.lose_buffers(self.world.random(f"kill/{self.name}"), self.storage.written)
