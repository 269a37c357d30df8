"""A new process that stalls while it takes the job over, and an old one, slow but alive, that commits a checkpoint meanwhile."""

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
@pytest.mark.parametrize(
    ("old_stops_at", "stall"),
    [
        pytest.param("coordinator.acks.all#1", "before", id="no checkpoint was complete when the new one looked"),
        pytest.param("coordinator.acks.all#3", "before", id="an older checkpoint was complete when the new one looked"),
        pytest.param("checkpoint.metadata.before_rename#1", "behind", id="the first checkpoint becomes complete behind the new leader's back"),
        pytest.param("checkpoint.metadata.before_rename#3", "behind", id="a checkpoint becomes complete behind the new leader's back"),
    ],
)
def test_what_the_old_process_commits_during_the_takeover_is_not_written_again(
    harness: SinkHarness, old_stops_at: str, stall: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STALL_AT", stall)
    job = KilledJob(harness, JobFolder.make(harness, tmp_path))
    # At a long interval, so that already the first checkpoint has records.
    old = JobProcess(job.folder, AttemptOptions(crash=f"{old_stops_at}=stop,sink.commit.after#10=kill", interval_ms=500))
    new: JobProcess | None = None
    try:
        assert old.wait_until_stopped(ATTEMPT_TIMEOUT_S)
        new = JobProcess(job.folder, AttemptOptions(), script=Path(__file__).with_name("stalled_start.py"))
        assert new.wait_until_stopped(ATTEMPT_TIMEOUT_S), job.folder.last_words()
        old.resume()
        assert job.wait(old) in (-signal.SIGKILL, 1)
        new.resume()
        code = job.wait(new)
    finally:
        for process in filter(None, (old, new)):
            process.kill()
    # A new process that finds itself overtaken may as well give up: started once more, the job goes on.
    assert code == 0 or job.attempt(AttemptOptions()) == 0, job.folder.last_words()
    assert job.final_problems() == []
