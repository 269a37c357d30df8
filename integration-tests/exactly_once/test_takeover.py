"""A new process that stalls before it takes the job over, while the old one, slow but alive, completes a checkpoint and commits it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from millstream_testkit.harness import SinkHarness
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions, JobProcess
from millstream_testkit.killed_job import ATTEMPT_TIMEOUT_S, KilledJob
from millstream_testkit.sinks import RIGHT_SINKS


@pytest.mark.faults
@pytest.mark.timeout(150)
@pytest.mark.parametrize("harness", RIGHT_SINKS, ids=lambda harness: harness.name)
@pytest.mark.parametrize("checkpoint", [1, 3], ids=["its first checkpoint", "a later checkpoint"])
def test_what_the_old_process_commits_during_the_takeover_is_not_written_again(harness: SinkHarness, checkpoint: int, tmp_path: Path) -> None:
    job = KilledJob(harness, JobFolder(tmp_path, harness.factory))
    old = JobProcess(job.folder, AttemptOptions(crash=f"coordinator.acks.all#{checkpoint}=stop,sink.commit.after#8=kill"))
    new: JobProcess | None = None
    try:
        assert old.wait_until_stopped(ATTEMPT_TIMEOUT_S)
        new = JobProcess(job.folder, AttemptOptions(), script=Path(__file__).with_name("stalled_start.py"))
        assert new.wait_until_stopped(ATTEMPT_TIMEOUT_S), job.folder.last_words()
        old.resume()
        assert job.wait(old) == -signal.SIGKILL
        new.resume()
        code = job.wait(new)
    finally:
        for process in filter(None, (old, new)):
            process.kill()
    # A new process that finds itself overtaken may as well give up: started once more, the job goes on.
    assert code == 0 or job.attempt(AttemptOptions()) == 0, job.folder.last_words()
    assert job.final_problems() == []
