"""One life of a simulated process: from the start of the program to its end or its crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from millstream.api.environment import StreamExecutionEnvironment
from millstream.ports import CRASH_POINTS, arm, disarm
from millstream.ports.crash import CrashPointReached
from millstream.runtime.deployment import Ports
from millstream.runtime.job_status import JobStatus
from millstream.testing.durable import NothingVisibleTooEarly
from millstream.testing.executor import SimulatedExecutor
from millstream.testing.faults import FaultPlan
from millstream.testing.storage import SimulatedStorage
from millstream.testing.transport import SimulatedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.runtime.launch import LocalJob
    from millstream.testing.simulation import Simulation

_SPEEDS: Final = (1.0, 1.0, 1.0, 0.3, 0.03)
"""A party that is given a turn takes it with this probability: some get far behind the others."""

_STEP_S: Final = (0.0001, 0.001, 0.005)
"""Longest time that one step takes."""

_READING_S: Final = (0.0, 0.000_001, 0.003)


class Party(Protocol):
    """Somebody who takes turns."""

    def run_once(self) -> bool:
        """One turn. False when there was nothing to do."""

    def next_due_s(self) -> float | None:
        """Monotonic time at which a turn is worth taking again; None to wait for others."""


class Stuck(AssertionError):
    """Nobody has anything to do, now or later, and the job is not over."""


class Life:
    """One life.

    Args:
        simulation: what is run.
        number: of the life, from 0.
    """

    def __init__(self, simulation: Simulation, number: int) -> None:
        world = simulation.world
        self._simulation = simulation
        self._world = world
        self._random = world.random(f"schedule/{number}")
        self.plan = FaultPlan(world.faults, world.random(f"faults/{number}"), world.injected)
        self._storage = SimulatedStorage(world, self.plan)
        self._transport = SimulatedTransport(world, number)
        self._executor = SimulatedExecutor(world, number)
        self._ports = Ports(world.clock, world.random(f"engine/{number}"), self._transport, self._storage, self._executor)
        self._steps = 0
        self._speeds: dict[str, float] = {}
        self._speeds_until = 0
        self._step_s = 0.0
        self._errors_before = world.injected["storage error"]
        self.job: LocalJob | None = None
        self.started = False
        self.crashed_at: str | None = None
        self._world.note(f"life {number}")

    @property
    def had_storage_errors(self) -> bool:
        """Whether calls of the storage failed in this life."""
        return self._world.injected["storage error"] > self._errors_before

    @property
    def came_to_its_end(self) -> bool:
        """Whether the job has finished. A process that dies when it has noted so, and before it could exit, has done its work."""
        if self.crashed_at is None:
            return not (is_failed(self.job) and self.had_storage_errors)
        manager = self.job.job_manager if self.job is not None else None
        return manager is not None and self._early.is_noted_as_finished(manager.run_id)

    def run(self) -> None:
        """Lives until the job is over, the process crashes, or it cannot start.

        Raises:
            Exception: the program could not be built or started.
        """
        self._arm()
        try:
            self.job = job = self._launch()
            job.start()
            self.started = True
            while not job.is_over():
                self._run_idle_clock(job)
            self.plan.over = True
            job.close()
            self._look()
        except CrashPointReached as crash:
            self._crash(crash.name)
        finally:
            for point in CRASH_POINTS:
                disarm(point)

    def _arm(self) -> None:
        def passing(point: str) -> Callable[[], None]:
            def passed() -> None:
                self._world.passed[point] += 1
                self._world.note(f"point {point}")
                self.plan.pass_point(point)

            return passed

        for point in list(CRASH_POINTS):
            arm(point, passing(point))

    def _launch(self) -> LocalJob:
        simulation = self._simulation
        environment = StreamExecutionEnvironment(simulation.settings, plugins=simulation.plugins, ports=self._ports)
        try:
            simulation.program(environment)
            config = environment.settings(simulation.name).checkpoint
            self._early = NothingVisibleTooEarly(self._world, simulation.plugins, simulation.name, config)
            return environment.launch(simulation.name)
        finally:
            environment.graph.nodes.clear()  # a crash while it is launched is no forgotten program

    def _crash(self, where: str) -> None:
        world = self._world
        self.crashed_at = where
        self._storage.dead = True
        world.injected["crash"] += 1
        world.injected[f"crash at {where.partition(',')[0]}"] += 1
        world.note(f"crash at {where}")
        self._look()
        if self.plan.loses_power():
            world.injected["power loss"] += 1
            world.disk.lose_power(world.random(f"power/{world.injected['crash']}"))
        else:
            world.disk.lose_buffers(world.random(f"kill/{world.injected['crash']}"))

    # --- turns

    def _run_idle_clock(self, job: LocalJob) -> None:
        """Gives turns until nobody has anything to do; then time passes."""
        clock = self._world.clock
        tried_s = clock.now_s
        idle: set[int] = set()
        while not job.is_over():
            parties = self._parties(job)
            ready = [entry for entry in parties if id(entry[1]) not in idle]
            if ready:
                name, party = self._choose(ready)
                if self._turn(name, party):
                    idle.clear()
                    tried_s = clock.now_s
                else:
                    idle.add(id(party))
                continue
            moments = [due_s for _, party in parties if (due_s := party.next_due_s()) is not None and due_s > tried_s]
            moments.extend(self._simulation.next_moment())
            if not moments:
                raise Stuck(f"nobody has anything to do, at {clock.now_s:.3f} s")
            clock.advance_to(min(moments))
            self._simulation.act(job)
            return

    def _parties(self, job: LocalJob) -> list[tuple[str, Party]]:
        assert job.job_manager is not None and job.task_manager is not None  # noqa: S101, PT018 - the job is not over
        parties: list[tuple[str, Party]] = [("manager", job.job_manager), ("transport", self._transport), ("executor", self._executor)]
        parties.extend((task.address, task) for task in job.task_manager.tasks)
        return parties

    def _choose(self, ready: list[tuple[str, Party]]) -> tuple[str, Party]:
        random = self._random
        if self._steps >= self._speeds_until:
            self._speeds.clear()
            self._speeds_until = self._steps + 32 + random.below(256)
            self._step_s = _STEP_S[random.below(len(_STEP_S))]
            self._world.clock.reading_s = _READING_S[random.below(len(_READING_S))]
        for _ in range(4):
            entry = ready[random.below(len(ready))]
            speed = self._speeds.get(entry[0])
            if speed is None:
                speed = self._speeds[entry[0]] = _SPEEDS[random.below(len(_SPEEDS))]
            if random.random() < speed:
                break
        return entry

    def _turn(self, name: str, party: Party) -> bool:
        self._steps += 1
        self._world.steps += 1
        self._simulation.check_steps()
        self.plan.before_step(self._steps)
        progressed = party.run_once()
        if progressed:
            self._world.note(name)
            self._world.clock.advance(self._random.random() * self._step_s)
            self._simulation.act(self.job)
            self._look()
        return progressed

    def _look(self) -> None:
        """What must hold at every moment."""
        self._early.check()
        self._simulation.observe(self._world)


def is_failed(job: LocalJob | None) -> bool:
    """Whether the life ended with a failed job."""
    return job is not None and job.job_manager is not None and job.job_manager.status is JobStatus.FAILED
