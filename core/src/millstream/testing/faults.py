"""What goes wrong in a simulated run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from millstream.ports import SeededRandom
from millstream.ports.crash import CRASH_POINTS, CrashPointReached

if TYPE_CHECKING:
    from collections import Counter

    from millstream.ports import Random

_OWNED_BY_TASKS: Final = ("sink.", "recovery.", "task.", "source.split.", "end.after_last_record")
"""Points that a task or its connector passes: an exception there fails the task, not the JobManager."""


@dataclass(frozen=True, repr=False)
class Faults:
    """How much goes wrong. What exactly, and when, the seed decides.

    Attributes:
        crashes: how many lives of the process end in a crash, at most: between two steps, at a crash point, or inside a call of the storage.
        crash_at: the same by name, one item a life, in order: `sink.commit.before`, or `sink.commit.before#2` for the second pass.
        power_loss: share of the crashes that also lose what was not synced; the others are the death of the process alone.
        failures: how many exceptions tasks and connectors raise, at most; the job's restart strategy answers them.
        fail_at: the same by name, in order, as `crash_at`.
        lost, late, doubled: shares of the notifications (checkpoint completed, aborted) to which that happens.
        lost_requests: share of the triggers, acknowledgements and declines that get lost; the checkpoint timeout must answer.
        storage_errors: how many calls of the storage fail (EIO, ENOSPC), at most, before or after having had their effect.
    """

    crashes: int = 0
    crash_at: tuple[str, ...] = ()
    power_loss: float = 0.5
    failures: int = 0
    fail_at: tuple[str, ...] = ()
    lost: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    lost_requests: float = 0.0
    storage_errors: int = 0

    @staticmethod
    def mixed(seed: int) -> Faults:
        """Some of everything; of each kind some seeds have none."""
        random = SeededRandom(f"{seed}/mixed")
        return Faults(
            crashes=random.below(4),
            power_loss=random.below(3) / 2,
            failures=random.below(3),
            lost=random.below(3) * 0.2,
            late=random.below(3) * 0.2,
            doubled=random.below(3) * 0.2,
            lost_requests=random.below(3) * 0.03,
            storage_errors=random.below(4),
        )

    def __repr__(self) -> str:
        given = [(field.name, getattr(self, field.name)) for field in fields(self) if getattr(self, field.name) != field.default]
        return f"Faults({', '.join(f'{name}={value!r}' for name, value in given)})"


class InjectedFailure(RuntimeError):
    """An exception that the simulation raised in the place of a connector or a user function."""


class Strike:
    """At the `occurrence`-th pass of a crash point, once."""

    def __init__(self, point: str, occurrence: int) -> None:
        self.point = point
        self._left = occurrence

    def hits(self, point: str) -> bool:
        """Whether this pass is the one."""
        if point != self.point:
            return False
        self._left -= 1
        return self._left == 0


class FaultPlan:
    """What goes wrong in one life of the process.

    Args:
        faults: how much, over all lives.
        random: of this life.
        injected: what has happened in the lives so far, and is counted further.

    Attributes:
        over: the job is over; nothing goes wrong any more.
    """

    def __init__(self, faults: Faults, random: Random, injected: Counter[str]) -> None:
        self._faults = faults
        self._random = random
        self._injected = injected
        self._crash = Strike("", 0)
        self._crash_step = 0
        self._crash_call = 0
        self._after_effect = False
        self._failure = Strike("", 0)
        self.over = False
        self._plan_crash()
        self._plan_failure()

    def _plan_crash(self) -> None:
        crashed, faults, random = self._injected["crash"], self._faults, self._random
        if crashed < len(faults.crash_at):
            self._crash = _named(faults.crash_at[crashed])
        elif crashed - len(faults.crash_at) < faults.crashes:
            kind = random.below(4)
            if kind == 0:
                self._crash_step = _early_or_late(random, 12)
            elif kind == 1:
                self._crash_call = _early_or_late(random, 9)
                self._after_effect = random.below(2) == 1
            else:
                self._crash = Strike(sorted(CRASH_POINTS)[random.below(len(CRASH_POINTS))], _early_or_late(random, 4))

    def _plan_failure(self) -> None:
        failed, faults, random = self._injected["failure"], self._faults, self._random
        if failed < len(faults.fail_at):
            self._failure = _named(faults.fail_at[failed])
        elif failed - len(faults.fail_at) < faults.failures:
            points = [point for point in sorted(CRASH_POINTS) if point.startswith(_OWNED_BY_TASKS)]
            self._failure = Strike(points[random.below(len(points))], _early_or_late(random, 6))

    # --- asked by the simulation

    def before_step(self, number: int) -> None:
        """The life is about to take its n-th step, from 1.

        Raises:
            CrashPointReached: it dies first.
        """
        if number == self._crash_step:
            raise CrashPointReached(f"step, number {number}")

    def pass_point(self, point: str) -> None:
        """A crash point is passed.

        Raises:
            CrashPointReached: the process dies here.
            InjectedFailure: a task fails here.
        """
        if self._crash.hits(point):
            raise CrashPointReached(point)
        if self._failure.hits(point):
            self._injected["failure"] += 1
            self._plan_failure()
            number = self._injected["failure"]
            raise InjectedFailure(f"injected failure {number} at {point}")

    def before_call(self, number: int, operation: str) -> BaseException | None:
        """The life is about to make its n-th call of the storage. What it is to raise, if anything."""
        if self.over:
            return None
        if number == self._crash_call:
            return CrashPointReached(f"storage, {'after' if self._after_effect else 'before'} call {number}, {operation}")
        if self._injected["storage error"] < self._faults.storage_errors and self._random.below(48) == 0:
            self._injected["storage error"] += 1
            return OSError(*_ERRORS[self._random.below(len(_ERRORS))])
        return None

    def is_after_effect(self, error: BaseException) -> bool:
        """Whether the call has its effect before it raises."""
        return self._after_effect if isinstance(error, CrashPointReached) else self._random.below(3) == 0

    def loses_power(self) -> bool:
        """Whether this crash takes with it what was not synced."""
        return self._random.random() < self._faults.power_loss


_ERRORS: Final = ((5, "Input/output error (injected)"), (28, "No space left on device (injected)"))


def _named(text: str) -> Strike:
    point, _, occurrence = text.partition("#")
    if point not in CRASH_POINTS:
        msg = f"{point!r} is no crash point; millstream.testing.CRASH_POINTS has them all"
        raise ValueError(msg)
    return Strike(point, int(occurrence or 1))


def _early_or_late(random: Random, bits: int) -> int:
    """From 1 to 2**bits, every order of magnitude as likely as another: what is at the very beginning is met as well."""
    return 1 + random.below(1 << (1 + random.below(bits)))
