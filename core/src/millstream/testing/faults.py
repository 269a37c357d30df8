"""What goes wrong in a simulated run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf

from millstream.ports import SeededRandom
from millstream.ports.crash import CrashPointReached


@dataclass(frozen=True, repr=False)
class Faults:
    """How much goes wrong. What exactly, and when, the seed decides.

    Attributes:
        crashes: how many crashes of the program's process there are, at most: between two steps, at a crash point, or inside a call of the
            storage. With several processes it dies alone, or all of them die at once.
        crash_at: the same by name, one item a crash, in order: `sink.commit.before`, or `sink.commit.before#2` for the second pass.
        power_loss: share of the crashes of everything that also lose what was not synced; the others are the death of processes alone.
        failures: how many exceptions tasks and connectors raise, at most; the job's restart strategy answers them.
        fail_at: the same by name, in order, as `crash_at`.
        lost, late, doubled: shares of the notifications (checkpoint completed, aborted) to which that happens.
        lost_requests: share of the triggers, acknowledgements and declines that get lost; the checkpoint timeout must answer.
        late_messages, doubled_messages: shares of all messages that are no notifications to which that happens. The copy of a doubled
            message travels on its own, up to some seconds behind it.
        calm_after_s: from this virtual time on nothing happens to messages, so that a job that loses many comes to its end.
        storage_errors: how many calls of the storage fail (EIO, ENOSPC), at most, before or after having had their effect.
        task_manager_crashes: how many TaskManagers die alone, at most; only with several processes.
        task_manager_crash_at: the same by name, in order, as `crash_at`.
        stops: how many processes stand still for a while, at most, as behind SIGSTOP: for a moment, or for longer than the JobManager waits.
        takeovers: how often the program's process stands still and is taken for dead, so that another is started; it goes on later.
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
    late_messages: float = 0.0
    doubled_messages: float = 0.0
    calm_after_s: float = inf
    storage_errors: int = 0
    task_manager_crashes: int = 0
    task_manager_crash_at: tuple[str, ...] = ()
    stops: int = 0
    takeovers: int = 0

    @staticmethod
    def mixed(seed: int) -> Faults:
        """Some of everything; of each kind some seeds have none. A quarter of the seeds loses 30 % of the messages and doubles half of them."""
        random = SeededRandom(f"{seed}/mixed")
        given = {
            "crashes": random.below(4),
            "power_loss": random.below(3) / 2,
            "failures": random.below(3),
            "lost": random.below(3) * 0.2,
            "late": random.below(3) * 0.2,
            "doubled": random.below(3) * 0.2,
            "lost_requests": random.below(3) * 0.03,
            "late_messages": random.below(3) * 0.1,
            "doubled_messages": random.below(3) * 0.2,
            "calm_after_s": 120.0,
            "storage_errors": random.below(4),
            "task_manager_crashes": random.below(3),
            "stops": random.below(3),
            "takeovers": random.below(2),
        }
        if random.below(4) == 0:
            given.update(lost=0.3, lost_requests=0.3, doubled=0.5, doubled_messages=0.5)
        return Faults(**given)  # type: ignore[arg-type]  # numbers all

    def __repr__(self) -> str:
        given = [(field.name, getattr(self, field.name)) for field in fields(self) if getattr(self, field.name) != field.default]
        return f"Faults({', '.join(f'{name}={value!r}' for name, value in given)})"


class InjectedFailure(RuntimeError):
    """An exception that the simulation raised in the place of a connector or a user function."""


class EverythingDied(CrashPointReached):
    """All processes died at once.

    Args:
        name: where one of them was.
        power: whether the machine died with them, and what was not synced is gone.
    """

    def __init__(self, name: str, *, power: bool) -> None:
        super().__init__(name)
        self.power = power
