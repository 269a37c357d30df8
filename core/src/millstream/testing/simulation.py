"""Whole jobs in virtual time, on one thread, in an order that a seed decides, with crashes and lost messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from millstream.plugins import default_manager
from millstream.ports import CRASH_POINTS, arm, disarm
from millstream.runtime.job_status import JobStatus
from millstream.testing.fate import SimulatedFate
from millstream.testing.faults import EverythingDied, Faults
from millstream.testing.life import Life
from millstream.testing.turns import Aborted, Turns
from millstream.testing.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from millstream.api.environment import StreamExecutionEnvironment
    from millstream.plugins import PluginManager
    from millstream.runtime.job_manager import JobManager
    from millstream.testing.disk import SimulatedDisk
    from millstream.testing.durable import NothingVisibleTooEarly
    from millstream.testing.targets import Target
    from millstream.testing.turns import Seat

MOST_STEPS: Final = 100_000
_MOST_LIVES: Final = 60
_DOWN_S: Final = 5.0
"""Longest time between a crash and the next life."""

_LINGER_S: Final = 0.1
"""Longest time that a process which is told to end takes for it."""

_PATIENCE_S: Final = 120.0
"""A process that was replaced has to end within this time after the job is over, in virtual time."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "job.resume": "auto",
    "checkpoint.interval": timedelta(milliseconds=100),
    "checkpoint.timeout": timedelta(seconds=10),
    "execution.heartbeat_timeout": timedelta(seconds=5),
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
    """A run under way. `simulate` makes it.

    Attributes:
        processes: TaskManager processes; None when everything is in the process of the program.
    """

    program: Callable[[StreamExecutionEnvironment], object]
    world: World
    settings: Mapping[str, Any]
    plugins: PluginManager
    name: str
    observe: Callable[[World], object]
    max_steps: int
    moments_wanted: list[tuple[float, Callable[[JobManager], object]]]
    processes: int | None = None
    restarts: int = 0
    checkpoints: int = 0

    def __post_init__(self) -> None:
        self.fate = SimulatedFate(self)
        self.turns = Turns(self.world, self)
        self.lives: list[Life] = []
        self._begun = 0
        self._lead: Life | None = None
        self._next_start_s = 0.0
        self._ended: Life | None = None
        self._replaced: list[Life] = []
        self._run_ids: set[str] = set()
        self.early: NothingVisibleTooEarly | None = None

    def run(self) -> SimulationResult:
        """Lives, until one comes to the end of the job, and those that were replaced have ended, too."""
        self._arm()
        try:
            while self._ended is None:
                try:
                    self.turns.run(self.is_decided)
                except EverythingDied as death:
                    self._all_died(death)
            self._let_replaced_end(self._ended)
            return self._result(self._ended)
        except Aborted as aborted:
            raise aborted.error from None
        finally:
            for point in CRASH_POINTS:
                disarm(point)

    def is_decided(self) -> bool:
        """Whether the job is over."""
        return self._ended is not None

    def _arm(self) -> None:
        world = self.world

        def passing(point: str) -> Callable[[], None]:
            def passed() -> None:
                world.passed[point] += 1
                world.note(f"point {point}")
                process = world.process
                if process is not None and not process.plan.over:
                    process.plan.pass_point(process, point)

            return passed

        for point in list(CRASH_POINTS):
            arm(point, passing(point))

    # --- lives

    def between(self) -> None:
        """Starts and ends processes whose time has come, and does what the caller wanted."""
        self._act()
        now_s = self.world.clock.now_s
        if self._lead is None and self._ended is None and now_s >= self._next_start_s:
            self._begin()
        for life in list(self.lives):
            if not life.dead and not life.busy and not life.closed and life.is_over():
                self._over(life)
            for process in list(life.task_managers):
                if process.ends_s is not None and now_s >= process.ends_s and not process.busy:
                    process.die("the end of its JobManager")
                if process.dead:
                    life.task_managers.remove(process)
            if (life.dead or life.closed) and not life.task_managers:
                self.lives.remove(life)

    def _begin(self) -> None:
        if self._begun >= _MOST_LIVES:
            msg = f"the job is not at its end after {_MOST_LIVES} lives of its process"
            raise SimulationFailed(msg)
        for life in self._replaced:
            if self._is_noted_as_finished():  # before anybody came to take its place; another start would be another run
                self._lead, self._ended = life, life if life.dead or life.closed else None
                return
        life = Life(self, self._begun)
        self._begun += 1
        self.lives.append(life)
        self._lead = life
        life.begin()
        if life.error is None:
            return
        if life.launched or not life.had_storage_errors:
            raise life.error
        self.world.note("the process could not start")
        life.die("its start")
        self._start_again(life)

    def _over(self, life: Life) -> None:
        life.close()
        self.look()
        if life.dead:  # it died of closing
            return
        self._count(life)
        self._note_run(life)
        lead = self._lead
        if life is not lead:
            if lead is not None and not lead.launched and self._is_noted_as_finished():
                # It did all before its successor, which is about to start, had the lead. That would begin a new run.
                self._ended = life
                lead.die("its start, for which there is no need any more")
            return
        if life.has_failed_of_the_storage():
            self._start_again(life)
        else:
            self._ended = life

    def _start_again(self, life: Life) -> None:
        self._lead = None
        self._next_start_s = self.world.clock.now_s + self.world.random(f"down/{life.name}").random() * _DOWN_S

    def replace(self, life: Life) -> None:
        """It stands still and is taken for dead: another is started, whatever becomes of it.

        Never while it starts: if it went on when the other has ended the job, it would rightly begin a new run.
        """
        if life is self._lead and not self._is_noted_as_finished():
            self._replaced.append(life)
            self._start_again(life)

    def died(self, life: Life) -> None:
        """The process of a program has died alone, or is about to with all others."""
        if self._ended is not None:
            return
        self.world.injected["crash"] += 1
        self.look()
        if life is not self._lead:
            return
        self._count(life)
        if self._is_noted_as_finished():
            self._ended = life
        else:
            self._start_again(life)

    def _is_noted_as_finished(self) -> bool:
        """Whether the job's folder says that the run is over. A process that dies behind that has done its work; another would begin anew."""
        for life in self.lives:
            self._note_run(life)
        return self.early is not None and self.early.finished_run() in self._run_ids

    def _note_run(self, life: Life) -> None:
        manager = life.job.job_manager if life.job is not None else None
        if manager is not None:
            self._run_ids.add(manager.run_id)

    def _all_died(self, death: EverythingDied) -> None:
        world = self.world
        for life in self.lives:
            life.closed = True
        self.lives.clear()
        if death.power:
            world.injected["power loss"] += 1
            world.disk.lose_power(world.random(f"power/{world.injected['crash']}"))

    def _let_replaced_end(self, ended: Life) -> None:
        """Who stood still while the job came to its end wakes up, finds out, and changes nothing."""
        limit_s = self.world.clock.now_s + _PATIENCE_S
        self.world.calm = True
        for life in self.lives:
            life.plan.over = True
        while any(life is not ended for life in self.lives):
            self.turns.run(lambda: all(life is ended for life in self.lives) or self.world.clock.now_s > limit_s)
            if self.world.clock.now_s > limit_s:
                msg = f"a process that was replaced goes on: {', '.join(life.name for life in self.lives if life is not ended)}"
                raise SimulationFailed(msg)

    def _count(self, life: Life) -> None:
        job = life.job
        if job is not None and job.job_manager is not None:
            self.restarts += job.job_manager.restarts
            self.checkpoints += job.job_manager.coordinator.statistics.completed

    # --- turns

    def seats(self) -> list[Seat]:
        """Who could take a turn now."""
        seats: list[Seat] = []
        for life in self.lives:
            if not life.dead and not life.busy and not life.closed:
                seats.extend((name, party, life) for name, party in life.parties())
            seats.append((f"{life.name} transport", life.network, None))
            for process in life.task_managers:
                if not process.dead and not process.busy:
                    seats.extend((name, party, process) for name, party in process.parties())
        return seats

    def moments(self) -> Iterable[float]:
        """When something is to happen that is nobody's turn."""
        if self._lead is None and self._ended is None:
            yield self._next_start_s
        if self.moments_wanted:
            yield self.moments_wanted[0][0]
        for life in self.lives:
            for process in (life, *life.task_managers):
                if process.ends_s is not None:
                    yield process.ends_s

    def progressed(self) -> None:
        """A turn was taken."""
        if self.world.steps > self.max_steps:
            msg = f"the job is not at its end after {self.max_steps} steps, at {self.world.clock.now_s:.3f} s"
            raise SimulationFailed(msg)
        self.look()

    def look(self) -> None:
        """What must hold at every moment."""
        if self.early is not None:
            self.early.check()
        self.observe(self.world)

    def give_turns(self, number: int) -> None:
        """Others take so many turns in the middle of somebody's turn, unless they have nothing to do."""
        limit = self.world.steps + number
        if number:
            self.turns.run_within(lambda: self.world.steps >= limit or self.is_decided(), self.world.clock.now_s + _LINGER_S)

    # --- what the caller wanted done at given moments

    def _act(self) -> None:
        """Does what is due."""
        job = self._lead.job if self._lead is not None else None
        while self.moments_wanted and self.moments_wanted[0][0] <= self.world.clock.now_s and job is not None and job.job_manager is not None:
            manager, (_, action) = job.job_manager, self.moments_wanted.pop(0)
            manager.post(lambda manager=manager, action=action: action(manager))  # type: ignore[misc]  # bound as of now

    def _result(self, life: Life) -> SimulationResult:
        world, job = self.world, life.job
        manager = job.job_manager if job is not None else None
        outcome = None if life.dead or job is None else job.result()  # the dead cannot be asked
        status = JobStatus.FINISHED if outcome is None else outcome.status
        return SimulationResult(
            seed=world.seed,
            status=status,
            error=manager.error if manager is not None and status is JobStatus.FAILED else None,
            lives=self._begun,
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
            accumulators=dict(manager.accumulators) if manager is not None else {},
            recent=tuple(world.trace.recent),
        )

    @property
    def replay(self) -> str:
        """One line that runs this again."""
        program = getattr(self.program, "__qualname__", None) or repr(self.program)
        processes = f", processes={self.processes}" if self.processes is not None else ""
        return f"replay: simulate({program}, seed={self.world.seed}, faults={self.world.faults!r}{processes})"


def simulate(
    job: Callable[[StreamExecutionEnvironment], object],
    *,
    seed: int,
    faults: Faults | None = None,
    processes: int | None = None,
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
        processes: TaskManagers in processes of their own, at most so many (>= 1), as with `execution.processes`; None for everything in the
            process of the program. The program travels to them, so what its functions change outside of state is not seen here; targets
            are servers, to which all processes have a way.
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
        processes=processes,
        moments_wanted=sorted(at, key=lambda entry: entry[0]),
    )
    try:
        return simulation.run()
    except BaseException as error:
        error.add_note(simulation.replay)
        error.add_note("the last events were\n  " + "\n  ".join(world.trace.recent))
        raise
