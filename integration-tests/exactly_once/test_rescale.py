"""A job that is killed and goes on with another parallelism: the lanes of the subtasks that are gone are finished by others."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream_testkit.case import Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.harness import SinkHarness
from millstream_testkit.sinks import RIGHT_SINKS

COMMIT = Crash("sink.commit.before", 3)
PREPARED = Crash("sink.prepare.after", 6)
RECOVERED = Crash("recovery.after_first_commit")
COMMITTING = Crash("sink.commit.applied_no_ack", 4)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]


@pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name)
@pytest.mark.parametrize(
    "case",
    [
        CrashCase((COMMIT,), parallelism=(2, 3)),
        CrashCase((PREPARED,), parallelism=(3, 1)),
        CrashCase((COMMITTING, Crash("sink.commit.before")), parallelism=(3, 1, 2)),
        CrashCase((COMMIT, Crash("sink.open.after_fence"), RECOVERED), parallelism=(2, 1, 3, 2)),
        CrashCase((COMMIT,), shape="chained", parallelism=(2, 1)),
    ],
    ids=str,
)
def test_each_row_is_written_once_when_the_job_goes_on_with_another_parallelism(harness: SinkHarness, case: CrashCase, tmp_path: Path) -> None:
    result = CrashRunner(harness, tmp_path).run(case)
    assert result.outcome is Outcome.EXACT, str(result)
    assert result.left_behind == []
