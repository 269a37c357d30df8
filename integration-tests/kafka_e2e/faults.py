"""What is done to the job and to its broker while they run, drawn by lot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from millstream_testkit.processes.fault import ProcessFault
from millstream_testkit.processes.system import listed, workers_of

NAMED = (
    "sink.write.mid_epoch",
    "sink.prepare.before",
    "sink.prepare.after",
    "task.snapshot.uploaded",
    "coordinator.acks.half",
    "coordinator.acks.all",
    "checkpoint.metadata.renamed",
    "checkpoint.durable.before_notify",
    "task.notify.received",
    "sink.commit.before",
    "sink.commit.mid",
    "sink.commit.after",
    "source.split.mid",
    "task.alignment.open",
    "task.timers.firing",
    "task.restore.mid",
    "sink.open.before_fence",
    "sink.open.after_fence",
)
"""Crash points at which a process kills itself."""

OF_DELIVERY = {"exactly_once": ("sink.commit.applied_no_ack",), "exactly_once_2pc": ("sink.prepare.mid",)}

AT_THE_BEGINNING = ("task.restore.mid", "sink.open.before_fence", "sink.open.after_fence")

RANDOM_KILLS = {"a TaskManager": 10, "the JobManager": 4, "the program": 3, "the broker": 3}
"""Kills at random moments: how many of twenty, by whom they hit."""


def named_faults(count: int, delivery: str, random: Random) -> list[ProcessFault]:
    """One after the other; each armed in all processes as soon as the one before has struck."""
    known = [*NAMED, *OF_DELIVERY[delivery]]
    points = random.sample(known, min(count, len(known)))
    # A process passes those of a restore and of the sink's opening once only.
    return [ProcessFault(point, 1 if point in AT_THE_BEGINNING else random.randint(1, 3), at_once=True) for point in points]


def random_kills(count: int, random: Random) -> list[str]:
    """Whom they hit, in order. Of a few, everybody is hit once at least."""
    everybody = list(RANDOM_KILLS)
    more = random.choices(everybody, weights=list(RANDOM_KILLS.values()), k=max(0, count - len(everybody)))
    kills = [*everybody[:count], *more]
    random.shuffle(kills)
    return kills


@dataclass(frozen=True)
class Processes:
    """Those of a job, now."""

    job_manager: int | None
    task_managers: list[int]

    @staticmethod
    def of(program: int) -> Processes:
        """What the system lists below a program."""
        below = [pid for pid, parent, state, line in listed() if parent == program and state[0] != "Z" and " millstream-job-manager" in line]
        return Processes(below[0], workers_of(below[0])) if below else Processes(None, [])

    def of_kind(self, victim: str) -> Iterator[int]:
        """Those that may be hit."""
        if victim == "a TaskManager":
            yield from self.task_managers
        elif self.job_manager is not None:
            yield self.job_manager


def kill(pid: int) -> None:
    """SIGKILL to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
