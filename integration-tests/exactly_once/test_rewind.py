"""Going back to a checkpoint that is older than what the target has: refused, unless it is asked for by name."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from millstream_testkit.harness import SinkHarness
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions
from millstream_testkit.killed_job import KilledJob
from millstream_testkit.oracle import Verdict, compare, expected_rows
from millstream_testkit.sinks import RIGHT_SINKS

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(150),
    pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name),
]


def killed_with_checkpoints(harness: SinkHarness, root: Path) -> tuple[KilledJob, list[Path]]:
    """A job that died when four checkpoints were complete and all but the last committed, and those four, oldest first."""
    job = KilledJob(harness, JobFolder(root, harness.factory))
    assert job.attempt(AttemptOptions(crash="checkpoint.durable.before_notify#4", retained=9)) == -signal.SIGKILL
    manifests = job.folder.checkpoints.glob("*/chk-*/_metadata")
    return job, sorted((path.parent for path in manifests), key=lambda path: int(path.name.removeprefix("chk-")))


def verdict(harness: SinkHarness, job: KilledJob) -> Verdict:
    return compare(expected_rows(job.folder.records, job.folder.keys), harness.visible(job.folder.target))


def test_an_older_checkpoint_than_the_target_has_is_refused_and_the_newest_goes_on_exactly(harness: SinkHarness, tmp_path: Path) -> None:
    job, checkpoints = killed_with_checkpoints(harness, tmp_path)
    before = sorted(harness.visible(job.folder.target))
    assert job.attempt(AttemptOptions(resume=str(checkpoints[0]), retained=9)) == 1
    assert "or pass --rewind to produce them again" in job.folder.last_words()
    assert sorted(harness.visible(job.folder.target)) == before
    assert job.attempt(AttemptOptions()) == 0, job.folder.last_words()
    assert job.final_problems() == []


def test_a_rewind_produces_again_what_came_after_the_checkpoint_and_loses_nothing(harness: SinkHarness, tmp_path: Path) -> None:
    job, checkpoints = killed_with_checkpoints(harness, tmp_path)
    before = sorted(harness.visible(job.folder.target))
    assert job.attempt(AttemptOptions(resume=str(checkpoints[0]), rewind=True, retained=9)) == 0, job.folder.last_words()
    found = verdict(harness, job)
    assert (found.missing, found.wrong) == ([], [])
    assert set(found.doubled) <= set(before)
    assert found.doubled
