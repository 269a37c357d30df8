"""When what goes wrong, in one life of the program's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from millstream.ports.crash import CRASH_POINTS
from millstream.testing.faults import InjectedFailure

if TYPE_CHECKING:
    from collections import Counter

    from millstream.ports import Random
    from millstream.testing.faults import Faults
    from millstream.testing.process import SimulatedProcess

_OWNED_BY_TASKS: Final = ("sink.", "recovery.", "task.", "source.split.", "end.after_last_record")
"""Points that a task or its connector passes: an exception there fails the task, not the JobManager."""

_ERRORS: Final = ((5, "Input/output error (injected)"), (28, "No space left on device (injected)"))

STEP: Final = "a step"
CALL: Final = "a call of the storage"


class Fate(Protocol):
    """Does to processes what the plan says."""

    def die(self, process: SimulatedProcess, where: str) -> BaseException:
        """One dies alone; to be raised in it."""

    def die_all(self, where: str, *, power: bool) -> BaseException:
        """All die; to be raised."""

    def doom_program(self, process: SimulatedProcess, where: str) -> None:
        """The JobManager of a TaskManager dies while that is at its work."""

    def stand_still(self, process: SimulatedProcess, seconds: float, *, replaced: bool) -> None:
        """Returns when the process goes on; raises when it never does."""


class Strike:
    """At the `occurrence`-th event of a kind, once.

    Args:
        event: a crash point, STEP or CALL; none for never.
    """

    def __init__(self, event: str = "", occurrence: int = 0) -> None:
        self.event = event
        self._left = occurrence

    def hits(self, event: str) -> bool:
        """Whether this event is the one."""
        if event != self.event:
            return False
        self._left -= 1
        return self._left == 0


class FaultPlan:
    """What goes wrong in one life of the program's process and in those of its TaskManagers.

    Args:
        faults: how much, over all lives.
        random: of this life.
        injected: what has happened in the lives so far, and is counted further.
        fate: does it.
        several: the program has TaskManagers in processes of their own.

    Attributes:
        over: the job is over; nothing goes wrong any more.
    """

    def __init__(self, faults: Faults, random: Random, injected: Counter[str], fate: Fate, *, several: bool) -> None:
        self._faults = faults
        self._random = random
        self._injected = injected
        self._fate = fate
        self._several = several
        self._late_call = False
        self.over = False
        self._plan_crash()
        self._plan_worker_crash()
        self._plan_failure()
        self._plan_stop()
        self._takeover = self._any_time() if injected["takeover"] < faults.takeovers else Strike()

    def _any_time(self) -> Strike:
        random = self._random
        kind = random.below(4)
        if kind == 0:
            return Strike(STEP, _early_or_late(random, 12))
        if kind == 1:
            self._late_call = random.below(2) == 1
            return Strike(CALL, _early_or_late(random, 9))
        return Strike(sorted(CRASH_POINTS)[random.below(len(CRASH_POINTS))], _early_or_late(random, 4))

    def _plan_crash(self) -> None:
        crashed, faults = self._injected["crash"], self._faults
        self._crash = Strike()
        self._all = not self._several or self._random.below(2) == 0
        if crashed < len(faults.crash_at):
            self._crash = _named(faults.crash_at[crashed])
        elif crashed - len(faults.crash_at) < faults.crashes:
            self._crash = self._any_time()

    def _plan_worker_crash(self) -> None:
        crashed, faults = self._injected["task manager crash"], self._faults
        self._worker_crash = Strike()
        if not self._several:
            return
        if crashed < len(faults.task_manager_crash_at):
            self._worker_crash = _named(faults.task_manager_crash_at[crashed])
        elif crashed - len(faults.task_manager_crash_at) < faults.task_manager_crashes:
            self._worker_crash = self._any_time()

    def _plan_failure(self) -> None:
        failed, faults, random = self._injected["failure"], self._faults, self._random
        self._failure = Strike()
        if failed < len(faults.fail_at):
            self._failure = _named(faults.fail_at[failed])
        elif failed - len(faults.fail_at) < faults.failures:
            points = [point for point in sorted(CRASH_POINTS) if point.startswith(_OWNED_BY_TASKS)]
            self._failure = Strike(points[random.below(len(points))], _early_or_late(random, 6))

    def _plan_stop(self) -> None:
        self._stop = self._any_time() if self._injected["stop"] < self._faults.stops else Strike()

    # --- told by the simulation

    def step(self, process: SimulatedProcess) -> None:
        """A process is about to take a turn.

        Raises:
            CrashPointReached: it dies first, or all do.
        """
        if not self.over:
            self._crash_or_stop(process, STEP, STEP)

    def pass_point(self, process: SimulatedProcess, point: str) -> None:
        """A process passes a crash point.

        Raises:
            CrashPointReached: it dies here, or all do.
            InjectedFailure: a task fails here.
        """
        self._crash_or_stop(process, point, point)
        if self._failure.hits(point):
            self._injected["failure"] += 1
            self._plan_failure()
            number = self._injected["failure"]
            raise InjectedFailure(f"injected failure {number} at {point}")

    def _crash_or_stop(self, process: SimulatedProcess, event: str, where: str) -> None:
        error = self._death(process, event, where)
        if error is not None:
            raise error
        self._stands(process, event)

    def before_call(self, process: SimulatedProcess, operation: str) -> BaseException | None:
        """A process is about to make a call of the storage. What it is to raise, if anything."""
        if self.over:
            return None
        error = self._death(process, CALL, f"storage, {operation}")
        if error is None and self._injected["storage error"] < self._faults.storage_errors and self._random.below(48) == 0:
            self._injected["storage error"] += 1
            return OSError(*_ERRORS[self._random.below(len(_ERRORS))])
        if error is None:
            self._stands(process, CALL)
        return error

    def has_effect(self, error: BaseException) -> bool:
        """Whether the call has its effect before it raises."""
        return self._random.below(3) == 0 if isinstance(error, OSError) else self._late_call

    # --- what happens

    def _death(self, process: SimulatedProcess, event: str, where: str) -> BaseException | None:
        if self._crash.hits(event):
            self._crash = Strike()
            if self._all:
                return self._fate.die_all(where, power=self._random.random() < self._faults.power_loss)
            if not process.is_task_manager:
                return self._fate.die(process, where)
            self._fate.doom_program(process, where)
        if process.is_task_manager and self._worker_crash.hits(event):
            self._injected["task manager crash"] += 1
            self._plan_worker_crash()
            return self._fate.die(process, where)
        return None

    def _stands(self, process: SimulatedProcess, event: str) -> None:
        if self._stop.hits(event):
            self._injected["stop"] += 1
            self._plan_stop()
            self._fate.stand_still(process, self._standstill_s(), replaced=False)
        if not process.is_task_manager and process.launched and self._takeover.hits(event):
            self._injected["takeover"] += 1
            self._takeover = Strike()
            self._fate.stand_still(process, self._standstill_s(), replaced=True)

    def _standstill_s(self) -> float:
        return self._random.random() * _STANDSTILLS_S[self._random.below(len(_STANDSTILLS_S))]


_STANDSTILLS_S: Final = (0.1, 2.0, 20.0)


def _named(text: str) -> Strike:
    point, _, occurrence = text.partition("#")
    if point not in CRASH_POINTS:
        msg = f"{point!r} is no crash point; millstream.testing.CRASH_POINTS has them all"
        raise ValueError(msg)
    return Strike(point, int(occurrence or 1))


def _early_or_late(random: Random, bits: int) -> int:
    """From 1 to 2**bits, every order of magnitude as likely as another: what is at the very beginning is met as well."""
    return 1 + random.below(1 << (1 + random.below(bits)))
