"""Arms the faults of a job in each of its processes.

Environment: MILLSTREAM_TESTKIT_FAULTS is the folder of the plan (`millstream_testkit.processes.strikes`); MILLSTREAM_TESTKIT_SURVEY, when it
is set, makes each process note the points that it comes by instead.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from millstream.ports import CRASH_POINTS, arm, check_crash_points
from millstream_testkit.processes.fault import InjectedFault
from millstream_testkit.processes.strikes import Role, Strike, Strikes
from millstream_testkit.processes.system import workers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_testkit.processes.fault import ProcessFault

FAULTS_VARIABLE: Final = "MILLSTREAM_TESTKIT_FAULTS"
SURVEY_VARIABLE: Final = "MILLSTREAM_TESTKIT_SURVEY"


def arm_faults(role: Role) -> None:
    """Arms what the environment asks for; does nothing without a word there.

    Raises:
        UnknownCrashPoint: the plan names a point that does not exist.
    """
    folder = os.environ.get(FAULTS_VARIABLE)
    if folder is None:
        return
    strikes = Strikes(Path(folder))
    if SURVEY_VARIABLE in os.environ:
        for point in CRASH_POINTS:
            arm(point, _noting(strikes, role, point))
        return
    if role == "worker":
        strikes.worker_started()
    armed = ArmedFaults(strikes, role)
    check_crash_points(armed.points(), "the plan of faults")
    for point in armed.points():
        arm(point, lambda point=point: armed.passing(point))  # type: ignore[misc]


def _noting(strikes: Strikes, role: Role, point: str) -> Callable[[], None]:
    seen = False

    def passed() -> None:
        nonlocal seen
        if not seen:
            seen = True
            strikes.passed(role, point)

    return passed


class ArmedFaults:
    """The plan, as one process carries it out. Points are passed by several threads."""

    def __init__(self, strikes: Strikes, role: Role) -> None:
        self._strikes = strikes
        self._role = role
        self._faults = strikes.planned()
        self._passes: Counter[int] = Counter()
        self._next = 0
        self._behind = len(strikes.struck())
        self._lock = threading.Lock()

    def points(self) -> list[str]:
        """Where something is to happen."""
        return sorted({fault.point for fault in self._faults})

    def passing(self, point: str) -> None:
        """This process comes by a point."""
        with self._lock:
            while self._next < len(self._faults) and self._strikes.has_struck(self._next):
                self._next += 1
            number = self._next
            if number == len(self._faults) or self._faults[number].point != point:
                return
            fault = self._faults[number]
            if not fault.at_once and not self._recovers_from(number):
                return
            self._passes[number] += 1
            if self._passes[number] < fault.occurrence:
                return
            victim = os.getpid() if fault.victim == "self" else self._bystander()
            if victim is None or not self._strikes.claim(Strike(number, self._role, os.getpid(), victim)):
                return
        self._strike(number, fault, victim)

    def _recovers_from(self, number: int) -> bool:
        """Whether all before that fault struck before this process began; or the TaskManagers that this program has now."""
        if self._behind < number and self._role == "program":
            self._behind = self._strikes.most_behind_workers()
        return self._behind >= number

    def _bystander(self) -> int | None:
        """Another TaskManager; None when none is up."""
        program = os.getpid() if self._role == "program" else os.getppid()
        return next((pid for pid in workers_of(program) if pid != os.getpid()), None)

    def _strike(self, number: int, fault: ProcessFault, victim: int) -> None:
        if fault.action == "raise":
            raise InjectedFault(f"fault {number} at {fault.point}")
        sent = signal.SIGKILL if fault.action == "kill" else signal.SIGSTOP
        if victim != os.getpid():
            os.kill(victim, sent)
            return
        if fault.action == "kill":
            os.kill(victim, sent)
        else:
            # To this very thread: sent to the process, another thread may take it, and this one runs on past the point.
            signal.pthread_kill(threading.get_ident(), sent)
        self._strikes.survived(number)
