"""Whole jobs in virtual time, on one thread, in an order that a seed decides, with crashes and lost messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from millstream.plugins import default_manager
from millstream.runtime.job_status import JobStatus
from millstream.testing.faults import Faults
from millstream.testing.life import Life
from millstream.testing.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from millstream.api.environment import StreamExecutionEnvironment
    from millstream.plugins import PluginManager
    from millstream.runtime.job_manager import JobManager
    from millstream.runtime.launch import LocalJob
    from millstream.testing.disk import SimulatedDisk
    from millstream.testing.targets import Target

MOST_STEPS: Final = 100_000
_MOST_LIVES: Final = 60
_DOWN_S: Final = 5.0
"""Longest time between a crash and the next life."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "job.resume": "auto",
    "checkpoint.interval": timedelta(milliseconds=100),
    "checkpoint.timeout": timedelta(seconds=10),
    "checkpoint.tolerable_failures": 1_000_000,
    "checkpoint.storage": "/simulated/checkpoints",
    "execution.batch_size": 4,
    "execution.gc_freeze": False,
    "state.strict": True,
}
"""Settings of every simulated job; `settings=` and the program change them."""


class SimulationFailed(AssertionError):
    """The run did not come to its end, or something was seen on the way that must never be seen."""


@dataclass(frozen=True)
class SimulationResult:
    """How a run went.

    Attributes:
        seed: of the run.
        status: how the job ended.
        error: why, when it failed.
        lives: how often the process was started.
        restarts: how often the job was started again within a life.
        checkpoints: completed checkpoints that the coordinators knew of.
        virtual_s: how long it took, in virtual time.
        steps: turns given.
        trace_hash: stands for everything that happened, in order: equal for equal seeds, faults, settings, program and release.
        recent: the last of it, in words.
        injected: faults that really happened, by kind.
        passed: crash points that were passed, with how often.
        accumulators: of the job.
        disk: what is left on the disk.
        last_checkpoint: where the newest kept checkpoint is, or None.
        replay: the call that runs this again, for messages of failing tests.
    """

    seed: int
    status: JobStatus
    error: BaseException | None
    lives: int
    restarts: int
    checkpoints: int
    virtual_s: float
    steps: int
    trace_hash: str
    injected: Counter[str]
    passed: Counter[str]
    disk: SimulatedDisk = field(repr=False)
    replay: str = ""
    last_checkpoint: str | None = None
    accumulators: dict[str, Any] = field(default_factory=dict)
    recent: tuple[str, ...] = field(default=(), repr=False)


@dataclass
class Simulation:
    """A run under way. `simulate` makes it."""

    program: Callable[[StreamExecutionEnvironment], object]
    world: World
    settings: Mapping[str, Any]
    plugins: PluginManager
    name: str
    observe: Callable[[World], object]
    max_steps: int
    moments: list[tuple[float, Callable[[JobManager], object]]]
    restarts: int = 0
    checkpoints: int = 0

    def run(self) -> SimulationResult:
        """Lives, until one comes to the end of the job."""
        for number in range(_MOST_LIVES):
            life = Life(self, number)
            try:
                life.run()
            except Exception:
                if life.started or not life.had_storage_errors:
                    raise
                self.world.note("the process could not start")
            else:
                self._count(life.job)
                if life.came_to_its_end:
                    return self._result(life, number + 1)
            self.world.clock.advance(self.world.random(f"down/{number}").random() * _DOWN_S)
        msg = f"the job is not at its end after {_MOST_LIVES} lives of its process"
        raise SimulationFailed(msg)

    def _count(self, job: LocalJob | None) -> None:
        if job is not None and job.job_manager is not None:
            self.restarts += job.job_manager.restarts
            self.checkpoints += job.job_manager.coordinator.statistics.completed

    def check_steps(self) -> None:
        """Raises SimulationFailed when the run has become too long."""
        if self.world.steps > self.max_steps:
            msg = f"the job is not at its end after {self.max_steps} steps, at {self.world.clock.now_s:.3f} s"
            raise SimulationFailed(msg)

    # --- what the caller wanted done at given moments

    def next_moment(self) -> Iterator[float]:
        """The next one, if there is one."""
        if self.moments:
            yield self.moments[0][0]

    def act(self, job: LocalJob | None) -> None:
        """Does what is due."""
        while self.moments and self.moments[0][0] <= self.world.clock.now_s and job is not None and job.job_manager is not None:
            manager, (_, action) = job.job_manager, self.moments.pop(0)
            manager.post(lambda manager=manager, action=action: action(manager))  # type: ignore[misc]  # bound as of now

    def _result(self, life: Life, lives: int) -> SimulationResult:
        world, job = self.world, life.job
        assert job is not None  # noqa: S101 - a life without a job ends with an exception or a crash
        outcome = job.result() if life.crashed_at is None else None  # the dead cannot be asked
        status = JobStatus.FINISHED if outcome is None else outcome.status
        return SimulationResult(
            seed=world.seed,
            status=status,
            error=job.job_manager.error if job.job_manager is not None and status is JobStatus.FAILED else None,
            lives=lives,
            restarts=self.restarts,
            checkpoints=self.checkpoints,
            virtual_s=world.clock.now_s,
            steps=world.steps,
            trace_hash=world.trace.digest(),
            injected=world.injected,
            passed=world.passed,
            disk=world.disk,
            replay=self.replay,
            last_checkpoint=outcome.last_checkpoint if outcome is not None else None,
            accumulators=dict(job.job_manager.accumulators) if job.job_manager is not None else {},
            recent=tuple(world.trace.recent),
        )

    @property
    def replay(self) -> str:
        """One line that runs this again."""
        program = getattr(self.program, "__qualname__", None) or repr(self.program)
        return f"replay: simulate({program}, seed={self.world.seed}, faults={self.world.faults!r})"


def simulate(
    job: Callable[[StreamExecutionEnvironment], object],
    *,
    seed: int,
    faults: Faults | None = None,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[Target[Any]] = (),
    at: Sequence[tuple[float, Callable[[JobManager], object]]] = (),
    observe: Callable[[World], object] = lambda _: None,
    files: Mapping[str, bytes] | None = None,
    name: str = "simulated",
    plugins: PluginManager | None = None,
    max_steps: int = MOST_STEPS,
) -> SimulationResult:
    """Runs a job to its end, with everything that the seed and the faults put in its way.

    The JobManager, the tasks, the checkpoints and the plugins are the real ones. Time, chance, messages, threads and the disk are
    simulated, so that a run takes milliseconds and goes the same way each time. After a crash everything in memory is gone, nothing is
    closed, and the program is started again, with `job.resume` set to `auto`.

    Args:
        job: builds the program; called anew for each life of the process.
        seed: decides everything that is left open.
        faults: what goes wrong; nothing when None.
        settings: by dotted name; they add to and replace `DEFAULTS`.
        targets: the targets that the program writes to. They outlive crashes; after every step it is checked that nothing is visible in
            them that no durable checkpoint covers.
        at: what to do to the job at moments of virtual time, for example `(1.0, JobManager.cancel)`; each once.
        observe: called after every step.
        files: what is on the disk at the beginning, by absolute path.
        name: of the job.
        plugins: what is installed; found by itself when None.
        max_steps: a run that takes more is taken for one that will not end.

    Raises:
        SimulationFailed: the job did not come to an end.
        AssertionError: an invariant does not hold. Each such error carries the call that runs this again.
    """
    world = World(seed, faults or Faults(), targets)
    for path, data in (files or {}).items():
        world.disk.write(path, data)
    simulation = Simulation(
        program=job,
        world=world,
        settings={**DEFAULTS, **(settings or {})},
        plugins=plugins or default_manager(),
        name=name,
        observe=observe,
        max_steps=max_steps,
        moments=sorted(at, key=lambda entry: entry[0]),
    )
    try:
        return simulation.run()
    except BaseException as error:
        error.add_note(simulation.replay)
        error.add_note("the last events were\n  " + "\n  ".join(world.trace.recent))
        raise
