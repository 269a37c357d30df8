"""Which cases are run: every crash point alone, and with a second crash during the recovery from the first."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import TYPE_CHECKING, Final

from millstream.ports import CRASH_POINTS
from millstream_testkit.case import LAST, Crash, CrashCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_testkit.demands import Sampling
    from millstream_testkit.harness import SinkHarness

OCCURRENCES: Final = (1, 2, LAST)

ONLY_AFTER: Final = {
    "recovery.after_first_commit": (Crash("sink.commit.before", 2), ""),
    "recovery.mid_abort": (Crash("sink.prepare.after", 3), ""),
    "task.restore.mid": (Crash("task.notify.received", 3), ""),
    "sink.commit.between_epochs": (None, ",".join(f"CheckpointCompleted@task/1/#{n}=drop" for n in range(1, 5))),
}
"""Points that an undisturbed run never passes: the crash, or the loss of messages, that leads there."""

PASSED_ONCE: Final = frozenset({"job.deploy.half", "end.before_final_checkpoint", "end.after_final_checkpoint", "job.cleanup"})
"""Points that a process passes once at most."""

SECOND_POINTS: Final = tuple(
    name for name in CRASH_POINTS if name.startswith(("recovery.", "sink.open.", "sink.commit.")) or name == "task.restore.mid"
)
"""What may be hit during the recovery from a first crash."""


NOT_OF_KIND: Final = {
    "write_ahead": frozenset({"sink.prepare.mid", "recovery.before_abort", "recovery.mid_abort"}),
    "two_phase_commit": frozenset[str](),
}
"""Points that no sink of a kind passes: a write-ahead epoch is prepared by the checkpoint itself, so there is nothing to abort. A sink that
writes at once has no protocol at all."""

OWN_POINTS: Final = frozenset({"sink.prepare.mid", "sink.commit.mid", "sink.commit.applied_no_ack", "recovery.mid_abort"})
"""Points in a connector's own code. Without them the kit kills it between any two of its calls all the same (`millstream_testkit.steps`)."""

_OF_SINKS: Final = ("sink.", "recovery.", "checkpoint.", "end.", "task.notify.", "task.restore.", "job.cleanup")

CRASH_LOOP: Final = CrashCase((Crash("sink.commit.before", 2), Crash("recovery.after"), Crash("recovery.after"), Crash("recovery.after")))


def never_passed(harness: SinkHarness) -> frozenset[str]:
    """Points that the sink does not pass, by its kind or by its harness's word."""
    every = frozenset(name for name in CRASH_POINTS if name.startswith(("sink.", "recovery.")))
    of_kind = NOT_OF_KIND.get(harness.declared().kind, every - {"sink.write.mid_epoch"})
    return of_kind | harness.not_passed


def passed_points(harness: SinkHarness) -> list[str]:
    """Every declared point but those that the sink never passes."""
    never = never_passed(harness)
    return [name for name in CRASH_POINTS if name not in never]


def crash_cases(harness: SinkHarness, sampling: Sampling) -> list[CrashCase]:
    """Each point, its first, second and last pass; in a sample each point that has to do with sinks once, where the passes take turns."""
    singles = single_cases(harness)
    if sampling.full:
        return singles
    singles = [case for case in singles if case.crashes[0].point.startswith(_OF_SINKS)]
    return sample(singles, len({case.crashes[0].point for case in singles}), sampling.seed)


def second_crash_cases(harness: SinkHarness, sampling: Sampling) -> list[CrashCase]:
    """A second crash in the recovery from the first, points that are only passed there, and a crash loop."""
    pairs = pair_cases(harness)
    recovery = recovery_cases(harness)
    if NOT_OF_KIND.get(harness.declared().kind) is not None:
        recovery.append(CRASH_LOOP)
    return [*recovery, *(pairs if sampling.full else sample(pairs, 6, sampling.seed))]


def single_cases(harness: SinkHarness) -> list[CrashCase]:
    """Every point that an undisturbed run passes: its first, second and last pass."""
    return [CrashCase((crash,)) for crash in _passes(harness)]


def _passes(harness: SinkHarness) -> list[Crash]:
    names = [name for name in passed_points(harness) if name not in ONLY_AFTER]
    return [Crash(name, n) for name in names for n in ((1,) if name in PASSED_ONCE else OCCURRENCES)]


def recovery_cases(harness: SinkHarness) -> list[CrashCase]:
    """Every point that takes a crash, or lost messages, to get to."""
    cases = []
    for name in passed_points(harness):
        if name in ONLY_AFTER:
            first, messages = ONLY_AFTER[name]
            crashes = (first, Crash(name)) if first else (Crash(name),)
            cases.append(CrashCase(crashes, messages=messages))
    return cases


def pair_cases(harness: SinkHarness) -> list[CrashCase]:
    """Every pass of every point, followed by a crash at every point of the recovery. Not every second point is reached from every first."""
    never = never_passed(harness)
    seconds = [Crash(name) for name in SECOND_POINTS if name not in never]
    return [CrashCase(pair) for pair in product(_passes(harness), seconds)]


def sample(cases: Sequence[CrashCase], count: int, seed: int) -> list[CrashCase]:
    """A part of the cases, the same for the same seed, in which every first and every second point comes up as often as any other."""
    random = Random(seed)
    shuffled = random.sample(list(cases), len(cases))
    used: dict[str, int] = {}
    chosen: list[CrashCase] = []
    while shuffled and len(chosen) < count:
        best = min(shuffled, key=lambda case: sorted((used.get(crash.point, 0) for crash in case.crashes), reverse=True))
        shuffled.remove(best)
        chosen.append(best)
        for crash in best.crashes:
            used[crash.point] = used.get(crash.point, 0) + 1
    return chosen
