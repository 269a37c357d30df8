"""What may happen to the messages between coordinator and tasks, as cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream_testkit.case import Crash, CrashCase

if TYPE_CHECKING:
    from millstream_testkit.demands import Sampling
    from millstream_testkit.harness import SinkHarness

_SINK: Final = "CheckpointCompleted@task/1/"
_FOUR_LOST: Final = ",".join(f"{_SINK}#{number}=drop" for number in range(1, 5))
"""So many that at least two epochs with records wait, also when some checkpoints are empty."""


def _case(name: str, messages: str, *crashes: Crash, records: int = 60, timeout_ms: int = 10_000) -> CrashCase:
    return CrashCase(crashes, messages=messages, records=records, checkpoint_timeout_ms=timeout_ms, name=name)


CASES: Final = (
    _case("lost on the way to the sink", f"{_SINK}#2=drop,{_SINK}#4=drop"),
    _case("doubled", "CheckpointCompleted#2=double,CheckpointCompleted#3=double"),
    _case("late, behind the next one", f"{_SINK}#2=hold"),
    _case("a checkpoint that failed", "CheckpointAcknowledged#2=drop", timeout_ms=300),
    _case(
        "lost, then a crash between two epochs, then a crash in the recovery",
        _FOUR_LOST,
        Crash("sink.commit.between_epochs"),
        Crash("recovery.after_first_commit"),
    ),
    _case("lost on the way to everybody", "CheckpointCompleted#2=drop"),
    _case("lost on the way to one of two sinks", "CheckpointCompleted@task/1/0#2=drop"),
    _case("the last one lost", f"{_SINK}#1=drop,{_SINK}#2=drop", records=10),
    _case("lost, then a crash before the two epochs are committed", f"{_SINK}#2=drop", Crash("sink.commit.before", 3)),
    _case(
        "a checkpoint that failed, then a crash when the next one is complete",
        "CheckpointAcknowledged#2=drop",
        Crash("task.notify.received", 5),
        timeout_ms=300,
    ),
)
"""The first five are the sample."""


def message_cases(harness: SinkHarness, sampling: Sampling) -> list[CrashCase]:
    """Lost, doubled and late notifications; checkpoints that fail."""
    return list(CASES if sampling.full else CASES[:5])
