"""An old process, stopped and replaced, goes on: it must change nothing, and notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream_testkit.case import Crash, Outcome
from millstream_testkit.harness import SinkHarness
from millstream_testkit.sinks import RIGHT_SINKS
from millstream_testkit.zombie import run_zombie

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(150),
    pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name),
]


def test_a_process_that_wakes_up_in_its_commit_is_fenced(harness: SinkHarness, tmp_path: Path) -> None:
    zombie = run_zombie(harness, tmp_path, Crash("sink.commit.before", 3))
    assert zombie.result.outcome is Outcome.EXACT, str(zombie)
    assert zombie.exit_code == 1, str(zombie)
    assert "a newer attempt has fenced it" in zombie.last_words


@pytest.mark.parametrize(
    "crash",
    [Crash("checkpoint.metadata.before_rename"), Crash("checkpoint.durable.before_notify", 2)],
    ids=str,
)
def test_a_process_that_wakes_up_in_its_checkpoint_makes_nothing_visible(harness: SinkHarness, crash: Crash, tmp_path: Path) -> None:
    zombie = run_zombie(harness, tmp_path, crash)
    assert zombie.result.outcome is Outcome.EXACT, str(zombie)
    assert zombie.exit_code == 1, str(zombie)
    assert "has been replaced by leader" in zombie.last_words or "a newer attempt has fenced it" in zombie.last_words


def test_a_process_that_wakes_up_when_all_is_committed_does_no_harm(harness: SinkHarness, tmp_path: Path) -> None:
    zombie = run_zombie(harness, tmp_path, Crash("job.cleanup"))
    assert zombie.result.outcome is Outcome.EXACT, str(zombie)
