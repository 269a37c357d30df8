"""Notifications of complete checkpoints may be lost, doubled and late; acknowledgements may be lost, so that a checkpoint fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.harness import SinkHarness
from millstream_testkit.sinks import RIGHT_SINKS

SINK = "CheckpointCompleted@task/1/"
FOUR_LOST = ",".join(f"{SINK}#{number}=drop" for number in range(1, 5))
"""So many that at least two epochs with records wait, also when some checkpoints are empty."""

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(150),
    pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name),
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(CrashCase(messages=f"{SINK}#2=drop,{SINK}#4=drop"), id="lost on the way to the sink"),
        pytest.param(CrashCase(messages="CheckpointCompleted#2=drop"), id="lost on the way to everybody"),
        pytest.param(CrashCase(messages="CheckpointCompleted@task/1/0#2=drop"), id="lost on the way to one of two sinks"),
        pytest.param(CrashCase(messages="CheckpointCompleted#2=double,CheckpointCompleted#3=double"), id="doubled"),
        pytest.param(CrashCase(messages=f"{SINK}#2=hold"), id="late, behind the next one"),
        pytest.param(CrashCase(records=10, messages=f"{SINK}#1=drop,{SINK}#2=drop"), id="the last one lost"),
        pytest.param(CrashCase(messages="CheckpointAcknowledged#2=drop", checkpoint_timeout_ms=300), id="a checkpoint that failed"),
        pytest.param(
            CrashCase((Crash("sink.commit.before", 3),), messages=f"{SINK}#2=drop"), id="lost, then a crash before the two epochs are committed"
        ),
        pytest.param(
            CrashCase((Crash("task.notify.received", 5),), messages="CheckpointAcknowledged#2=drop", checkpoint_timeout_ms=300),
            id="a checkpoint that failed, then a crash when the next one is complete",
        ),
        pytest.param(
            CrashCase((Crash("sink.commit.between_epochs"), Crash("recovery.after_first_commit")), messages=FOUR_LOST),
            id="lost, then a crash between two epochs, then a crash in the recovery",
        ),
    ],
)
def test_each_row_is_written_once_whatever_happens_to_messages(harness: SinkHarness, case: CrashCase, tmp_path: Path) -> None:
    result = CrashRunner(harness, tmp_path).run(case)
    assert result.outcome is Outcome.EXACT, str(result)
