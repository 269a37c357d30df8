"""What a stranger finds in the folder of a job's checkpoints when everybody who worked in it is gone."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions, JobProcess
from millstream_testkit.killed_job import ATTEMPT_TIMEOUT_S, KilledJob
from millstream_testkit.sinks import FileSinkHarness, PlainFileSinkHarness

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

FINISHED = [".highest-N", "leader-N", "run", "shared", "taskowned"]
"""All that a finished job leaves, however many processes it took."""


def left(job: KilledJob) -> list[str]:
    """Paths below the job's folder of checkpoints, without their numbers."""
    (folder,) = job.folder.checkpoints.iterdir()
    return sorted(re.sub(r"\d+", "N", str(path.relative_to(folder))) for path in folder.rglob("*"))


def hidden(job: KilledJob) -> list[str]:
    """What readers of the target pass over."""
    return sorted(path.name for path in Path(job.folder.target, ".millstream").rglob("*"))


@pytest.mark.parametrize(
    "point",
    ["checkpoint.metadata.before_rename#2", "coordinator.acks.all#2", "sink.prepare.after#2", "task.snapshot.uploaded#2", "sink.commit.before#2"],
)
def test_an_old_process_that_wakes_up_when_the_job_is_over_leaves_nothing_behind(point: str, tmp_path: Path) -> None:
    job = KilledJob(FileSinkHarness(), JobFolder.make(FileSinkHarness(), tmp_path))
    old = JobProcess(job.folder, AttemptOptions(crash=f"{point}=stop"))
    try:
        assert old.wait_until_stopped(ATTEMPT_TIMEOUT_S)
        assert job.attempt(AttemptOptions()) == 0, job.folder.last_words()
        assert left(job) == FINISHED
        old.resume()
        assert job.wait(old) == 1, job.folder.last_words()
    finally:
        old.kill()
    assert left(job) == FINISHED
    assert job.final_problems() == []


def test_however_often_a_job_is_killed_its_folder_does_not_grow(tmp_path: Path) -> None:
    job = KilledJob(FileSinkHarness(), JobFolder.make(FileSinkHarness(), tmp_path))
    sizes = []
    for point in ("task.snapshot.uploaded#2", "checkpoint.metadata.before_rename#2", "sink.commit.before#2") * 2:
        assert job.attempt(AttemptOptions(crash=point)) == -signal.SIGKILL, job.folder.last_words()
        sizes.append(len([name for name in left(job) if "/" not in name and not name.startswith("chk-")]))
    assert max(sizes) <= len(FINISHED), left(job)
    assert job.attempt(AttemptOptions()) == 0, job.folder.last_words()
    assert left(job) == FINISHED
    assert hidden(job) == []
    assert job.final_problems() == []


@pytest.mark.parametrize("harness", [FileSinkHarness(), PlainFileSinkHarness()], ids=lambda harness: harness.name)
def test_nothing_hidden_is_left_at_the_target_by_a_run_that_was_killed_while_it_cleaned_up(harness: FileSinkHarness, tmp_path: Path) -> None:
    job = KilledJob(harness, JobFolder.make(harness, tmp_path))
    assert job.attempt(AttemptOptions(crash="job.cleanup")) == -signal.SIGKILL, job.folder.last_words()
    assert hidden(job) != []
    assert job.attempt(AttemptOptions()) == 0, job.folder.last_words()
    assert (left(job), hidden(job)) == (FINISHED, [])
    assert job.final_problems() == []
