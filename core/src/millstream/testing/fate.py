"""What happens to processes, as the plan of faults says."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from millstream.ports.crash import CrashPointReached
from millstream.testing.faults import EverythingDied

if TYPE_CHECKING:
    from millstream.testing.life import Life
    from millstream.testing.process import SimulatedProcess
    from millstream.testing.simulation import Simulation
    from millstream.testing.task_manager import SimulatedTaskManager


class SimulatedFate:
    """Kills processes, and stops them."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    def die(self, process: SimulatedProcess, where: str) -> BaseException:
        """One dies alone; to be raised in it."""
        if process.is_task_manager:
            self._world.injected[f"task manager crash at {where.partition(',')[0]}"] += 1
            process.die(where)
            life = self._life_of(process)
            life.lost(cast("SimulatedTaskManager", process))
        else:
            self._world.injected[f"crash at {where.partition(',')[0]}"] += 1
            process.die(where)
        return CrashPointReached(where)

    def die_all(self, where: str, *, power: bool) -> BaseException:
        """All die; to be raised."""
        simulation = self._simulation
        self._world.injected[f"crash at {where.partition(',')[0]}"] += 1
        self._world.note(f"everything dies at {where}")
        for life in list(simulation.lives):
            for process in (*life.task_managers, life):
                if not process.dead:
                    process.die(where)
        return EverythingDied(where, power=power)

    def doom_program(self, process: SimulatedProcess, where: str) -> None:
        """The JobManager of a TaskManager dies while that is at its work."""
        life = self._life_of(process)
        if not life.dead:
            self._world.injected[f"crash at {where.partition(',')[0]}"] += 1
            life.die(where)

    def stand_still(self, process: SimulatedProcess, seconds: float, *, replaced: bool) -> None:
        """Returns when the process goes on; raises when it never does."""
        simulation, clock = self._simulation, self._world.clock
        self._world.note(f"{process.name} stands still")
        process.stopped_s, process.stands_until_s = clock.now_s, clock.now_s + seconds
        if replaced:
            simulation.replace(cast("Life", process))
        simulation.turns.run_within(lambda: process.dead or simulation.is_decided(), process.stands_until_s)
        process.stopped_s = process.stands_until_s = None
        process.resumed_s = clock.now_s
        if process.dead:
            raise CrashPointReached("the place where it stood still")
        self._world.note(f"{process.name} goes on")

    def _life_of(self, process: SimulatedProcess) -> Life:
        return next(life for life in self._simulation.lives if process in life.task_managers)
