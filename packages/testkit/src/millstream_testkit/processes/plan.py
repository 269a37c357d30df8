"""Which cases are run over several processes: every point with every action, and pairs of faults."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Final

from millstream.ports import CRASH_POINTS
from millstream_testkit.plan import NOT_OF_KIND, PASSED_ONCE, never_passed
from millstream_testkit.processes.case import ProcessCase
from millstream_testkit.processes.fault import Action, ProcessFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from millstream_testkit.harness import SinkHarness

ACTIONS: Final[tuple[Action, ...]] = ("kill", "stop", "raise")

ONCE: Final = PASSED_ONCE | {
    "end.after_last_record",
    "recovery.after",
    "recovery.after_first_commit",
    "recovery.before_abort",
    "recovery.mid_abort",
    "sink.commit.between_epochs",
    "sink.open.after_fence",
    "sink.open.before_fence",
    "source.split.finished_not_checkpointed",
    "task.restore.mid",
}
"""Points that a process may come by only once."""

_FAILED: Final = ProcessFault("checkpoint.metadata.before_rename", 1, "raise", at_once=True)

LEADS_TO: Final = {
    "recovery.after_first_commit": (ProcessFault("checkpoint.durable.before_notify", 2),),
    "recovery.mid_abort": (ProcessFault("sink.write.mid_epoch", 3),),
    "task.restore.mid": (ProcessFault("task.notify.received", 2),),
    # The kit's source begins a new epoch after three checkpoints of which it hears nothing, so that two epochs wait for the next one.
    "sink.commit.between_epochs": (_FAILED,) * 5,
}
"""Points that a run nobody disturbs never passes: the faults that lead there."""

OF_SINKS: Final = ("sink.", "recovery.")
"""Beginnings of the names of points that a sink's protocol passes."""

PROGRAM_POINTS: Final = ("coordinator.", "checkpoint.", "job.", "source.assign.", "end.before_final_checkpoint", "end.after_final_checkpoint")
"""Beginnings of the names of points that the program's process passes; TaskManagers pass the others."""

IN_EACH_ATTEMPT: Final = (
    "job.deploy.half",
    "sink.open.before_fence",
    "sink.open.after_fence",
    "recovery.after",
    "source.split.mid",
    "task.alignment.open",
    "task.snapshot.sync",
    "task.snapshot.uploaded",
    "sink.prepare.after",
    "coordinator.acks.half",
    "checkpoint.metadata.before_rename",
    "checkpoint.durable.before_notify",
    "task.notify.received",
    "sink.commit.before",
    "sink.commit.after",
    "end.before_final_checkpoint",
)
"""What is passed again after any fault but one near the end of the run."""

_AT_THE_END: Final = frozenset({*PASSED_ONCE, "end.after_last_record"}) - {"job.deploy.half"}


TOLERATED: Final = frozenset(
    {
        "checkpoint.metadata.before_rename",
        "checkpoint.metadata.renamed",
        "checkpoint.shared.deleting",
        "checkpoint.subsume.deleting",
        "task.snapshot.upload_mid",
    }
)
"""Where an exception costs a checkpoint at most, so that there is no recovery."""


def in_program(point: str) -> bool:
    """Whether the program's process passes the point, rather than a TaskManager."""
    return point.startswith(PROGRAM_POINTS)


def passed_points(harness: SinkHarness) -> list[str]:
    """Every point that a job with this sink passes, if need be after a fault."""
    never = never_passed(harness)
    unable = {"sink.commit.between_epochs"} if harness.declared().kind not in NOT_OF_KIND else set[str]()
    return [name for name in CRASH_POINTS if name not in never and name not in unable]


def single_faults(harness: SinkHarness, *, occurrences: Sequence[int] = (2,), actions: Iterable[Action] = ACTIONS) -> list[ProcessCase]:
    """Every point with every action; where it takes a fault to get to the point, behind that."""
    cases = []
    for point in passed_points(harness):
        before = LEADS_TO.get(point, ())
        at_once = before != () and before[-1].at_once
        for number, action in product((1,) if point in ONCE else occurrences, actions):
            cases.append(ProcessCase((*before, ProcessFault(point, number, action, at_once=at_once))))
    return cases


def bystanders(harness: SinkHarness) -> list[ProcessCase]:
    """Another TaskManager is killed when one, or the program, comes by a point. Of points near the end there may be no other any more."""
    points = [point for point in passed_points(harness) if point not in LEADS_TO and point not in _AT_THE_END]
    return [ProcessCase((ProcessFault(point, 1 if point in ONCE else 2, "kill", "bystander"),)) for point in points]


def zombies(harness: SinkHarness) -> list[ProcessCase]:
    """Processes that are replaced while they are stopped, then wake up: a TaskManager whose program died, and a whole job."""
    points = ("sink.write.mid_epoch", "sink.prepare.after", "sink.commit.before", "task.snapshot.upload_mid", "task.notify.received")
    passed = [point for point in points if point in passed_points(harness)]
    worker = [ProcessCase((ProcessFault(point, 2, "stop"),), stop="program killed") for point in passed]
    whole = [*passed, "coordinator.acks.all", "checkpoint.metadata.before_rename", "checkpoint.durable.before_notify", "checkpoint.subsume.deleting"]
    return worker + [ProcessCase((ProcessFault(point, 2, "stop"),), stop="all stopped") for point in whole]


def double_faults(harness: SinkHarness) -> list[ProcessCase]:
    """Faults in the recovery from a fault: a sample in which each point, first or second, meets each action of the other, and each action each
    other. Every beginning of the list is as varied as it can be.
    """
    passed = passed_points(harness)
    firsts = [point for point in passed if point not in LEADS_TO and point not in _AT_THE_END]
    seconds = [point for point in IN_EACH_ATTEMPT if point in passed]
    rows = covering({"first": firsts, "action": ACTIONS, "second": seconds, "its action": ACTIONS}, apart=("first", "second"))
    cases = []
    for first, action, second, its_action in rows:
        one = ProcessFault(first, 1 if first in ONCE else 2, _action(action))
        # An attempt is deployed once, before its processes are up: the next time is the recovery.
        at_once = (action == "raise" and first in TOLERATED) or second == "job.deploy.half"
        cases.append(ProcessCase((one, ProcessFault(second, 1, _action(its_action), at_once=at_once))))
    return cases


def _action(name: str) -> Action:
    return next(action for action in ACTIONS if action == name)


def covering(factors: dict[str, Sequence[str]], apart: tuple[str, str] | None = None) -> list[tuple[str, ...]]:
    """Rows of one value for each factor, in which every two values of two factors meet in some row, but for the two factors set `apart`.

    >>> covering({"a": "xy", "b": "12", "c": "pq"})
    [('x', '1', 'p'), ('y', '2', 'q'), ('x', '2', 'p'), ('y', '1', 'q'), ('x', '1', 'q'), ('y', '2', 'p')]
    """
    names = list(factors)
    free = {pair for pair in combinations(range(len(names)), 2) if (names[pair[0]], names[pair[1]]) != apart}
    missing = {(i, a, j, b) for i, j in free for a in factors[names[i]] for b in factors[names[j]]}
    used: dict[tuple[int, str], int] = {}
    rows = []
    while missing:
        i, a, j, b = min(missing, key=lambda pair: (used.get((pair[0], pair[1]), 0) + used.get((pair[2], pair[3]), 0), _order(factors, names, pair)))
        row = {i: a, j: b}
        for position, name in enumerate(names):
            if position not in row:
                row[position] = min(
                    factors[name],
                    key=lambda value: (-_gain(missing, row, position, value), used.get((position, value), 0), list(factors[name]).index(value)),
                )
        for position, value in row.items():
            used[position, value] = used.get((position, value), 0) + 1
        missing -= {(p, row[p], q, row[q]) for p, q in combinations(range(len(names)), 2)}
        rows.append(tuple(row[position] for position in range(len(names))))
    return rows


def _gain(missing: set[tuple[int, str, int, str]], row: dict[int, str], position: int, value: str) -> int:
    pairs = [(p, v, position, value) if p < position else (position, value, p, v) for p, v in row.items()]
    return sum(pair in missing for pair in pairs)


def _order(factors: dict[str, Sequence[str]], names: list[str], pair: tuple[int, str, int, str]) -> tuple[int, int, int, int]:
    i, a, j, b = pair
    return i, j, list(factors[names[i]]).index(a), list(factors[names[j]]).index(b)
