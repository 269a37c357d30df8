"""Named points of the protocols at which a test may kill, stop or fail the process.

A point costs one dictionary look-up while nothing is armed. The names are public API (`millstream.testing.CRASH_POINTS`):
connectors declare and pass their own, and the conformance suites kill the process at each of them.

`MILLSTREAM_CRASH` arms points in a subprocess: `name[#occurrence][=action]`, several separated by commas, for example
`sink.commit.before#2=kill`. The first occurrence and `kill` (SIGKILL) are the defaults; `raise` raises CrashPointReached; `stop` sends
SIGSTOP, which lasts until somebody sends SIGCONT; `sleep(2s)` keeps the thread for so long, as a stall of the machine would.

A connector declares the points in its own code at the top level of its module, with `declare_crash_point`. When a job is launched, its
connectors are imported, and `check_armed` refuses a name in the variable that nobody has declared.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from millstream.config.durations import parse_duration
from millstream.errors import UnknownCrashPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CRASH_POINTS: Final[dict[str, str]] = {}
"""Every declared point with the state the world is in when it is reached."""

VARIABLE: Final = "MILLSTREAM_CRASH"

_armed: dict[str, Callable[[], None]] = {}
_families: dict[str, str] = {}
_asked_for: set[str] = set()
"""Names in the variable: which of them exist is known when everything that declares some is imported."""


class CrashPointReached(BaseException):
    """Stands for the death of the process where it cannot really die: in the simulation and in unit tests.

    Not an Exception, so that no error policy swallows it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def declare_crash_point(name: str, state: str) -> str:
    """Registers a point and returns its name. `state` says what is durable and what is not when it is reached."""
    CRASH_POINTS[name] = state
    return name


def declare_crash_points(prefix: str, state: str) -> None:
    """Registers all points whose names begin with `prefix`: for those that are numbered, and too many to be listed."""
    _families[prefix] = state


def check_crash_points(names: Iterable[str], origin: str) -> None:
    """Refuses names that nobody has declared.

    Args:
        origin: where they are from, for the message.

    Raises:
        UnknownCrashPoint: one that is misspelled, or of a connector that is not imported.
    """
    for name in names:
        if name not in CRASH_POINTS and not name.startswith(tuple(_families)):
            raise UnknownCrashPoint(point=name, origin=origin, known=tuple(CRASH_POINTS))


def check_armed() -> None:
    """Refuses what `MILLSTREAM_CRASH` names and nobody has declared. Call it when everything that declares points is imported.

    Raises:
        UnknownCrashPoint: as above.
    """
    check_crash_points(sorted(_asked_for), VARIABLE)


def crash_point(name: str) -> None:
    """Passes the point `name`: does nothing unless it is armed."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


def arm(name: str, action: Callable[[], None]) -> None:
    """Calls `action` each time the point is passed, until it is disarmed."""
    _armed[name] = action


def disarm(name: str | None = None) -> None:
    """Forgets one point's action, or all."""
    if name is None:
        _armed.clear()
        _asked_for.clear()
    else:
        _armed.pop(name, None)


def _kill(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(_: str) -> None:
    # To this very thread: sent to the process, another thread may take it, and this one runs on past the point.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _raise(name: str) -> None:
    raise CrashPointReached(name)


_ACTIONS: Final[dict[str, Callable[[str], None]]] = {"kill": _kill, "stop": _stop, "raise": _raise}
_SLEEP: Final = re.compile(r"sleep\((.+)\)")


def _action(text: str) -> Callable[[str], None]:
    match = _SLEEP.fullmatch(text)
    if match is None:
        return _ACTIONS[text]
    duration_s = parse_duration(match[1]).total_seconds()
    return lambda _: time.sleep(duration_s)


def on_occurrence(name: str, occurrence: int, action: str) -> Callable[[], None]:
    """An action that strikes at the n-th pass (1-based) only.

    Args:
        action: `kill`, `stop`, `raise` or `sleep(DURATION)`.

    Raises:
        KeyError: there is no such action.
        ValueError: that is no duration.
    """
    act, passed = _action(action), 0

    def strike() -> None:
        nonlocal passed
        passed += 1
        if passed == occurrence:
            act(name)

    return strike


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(number)
    return number


def arm_from_environment(value: str) -> None:
    """Arms what `MILLSTREAM_CRASH` asks for.

    Raises:
        ValueError: the text is not of the form described above.
    """
    armed: dict[str, Callable[[], None]] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        point, _, action = item.partition("=")
        name, _, occurrence = point.partition("#")
        try:
            armed[name] = on_occurrence(name, _positive(occurrence or "1"), action or "kill")
        except (KeyError, ValueError):
            msg = f"{VARIABLE}: {item!r} is not name[#occurrence][=kill|stop|raise|sleep(DURATION)]"
            raise ValueError(msg) from None
    for name, strike in armed.items():
        arm(name, strike)
    _asked_for.update(armed)


if VARIABLE in os.environ:
    arm_from_environment(os.environ[VARIABLE])

for _name, _state in {
    "sink.open.before_fence": "nothing done yet for this attempt",
    "sink.open.after_fence": "older attempts are fenced, nothing recovered yet",
    "sink.write.mid_epoch": "part of an open epoch is written",
    "sink.prepare.before": "the barrier was seen, nothing prepared",
    "sink.prepare.mid": "some of the epoch is prepared",
    "sink.prepare.after": "the epoch is prepared, the checkpoint is not durable",
    "sink.commit.before": "the checkpoint is durable, the commit was not sent",
    "sink.commit.mid": "part of the commit reached the target",
    "sink.commit.applied_no_ack": "the target has committed, the answer is lost",
    "sink.commit.after": "the commit is acknowledged, the sink's state has not forgotten it",
    "sink.commit.between_epochs": "one of several pending epochs is committed",
    "recovery.after_first_commit": "one recovered epoch is committed",
    "recovery.before_abort": "recovered epochs are committed, leftovers not aborted",
    "recovery.mid_abort": "some leftovers are aborted",
    "recovery.after": "recovery is done, no record processed yet",
    "task.snapshot.sync": "the synchronous part of a snapshot is taken",
    "task.snapshot.upload_mid": "part of the task's state is written",
    "task.snapshot.uploaded": "the task's state is stored, not acknowledged",
    "task.snapshot.acknowledged": "the task has acknowledged, no notification yet",
    "task.alignment.open": "the first of several barriers has arrived",
    "task.notify.received": "the task knows of the completed checkpoint, nothing committed",
    "task.timers.firing": "some of the timers of a watermark have fired",
    "task.restore.mid": "part of the state is restored",
    "coordinator.trigger.sent_half": "half of the sources were told of the checkpoint",
    "coordinator.acks.half": "half of the acknowledgements are in",
    "coordinator.acks.all": "all acknowledgements are in, no metadata written",
    "checkpoint.metadata.before_rename": "all state is stored, the metadata is a temporary file",
    "checkpoint.metadata.renamed": "the metadata has its name, its folder is not synced",
    "checkpoint.durable.before_notify": "the checkpoint is durable, nobody was told",
    "checkpoint.notify.partial": "some of the tasks were told",
    "checkpoint.subsume.deleting": "an older checkpoint is partly deleted",
    "checkpoint.shared.deleting": "an older checkpoint is deleted, shared files that only it referred to are not",
    "source.assign.before_ack": "a split is assigned, no checkpoint holds it yet",
    "source.split.mid": "part of a split was read",
    "source.split.finished_not_checkpointed": "a split was read to its end, no checkpoint says so",
    "end.after_last_record": "the last record was processed",
    "end.before_final_checkpoint": "the input has ended, the last checkpoint has not begun",
    "end.after_final_checkpoint": "the last checkpoint is durable, the job is not marked finished",
    "job.deploy.half": "half of the tasks are deployed",
    "job.cleanup": "the job has ended, its checkpoints are not cleaned up",
}.items():
    declare_crash_point(_name, _state)
