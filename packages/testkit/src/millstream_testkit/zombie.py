"""The old process that wakes up: stopped at a point, replaced by a new one that runs to the end, then let go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream_testkit.case import CaseResult, Crash, CrashCase, Outcome
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions, JobProcess
from millstream_testkit.killed_job import ATTEMPT_TIMEOUT_S, KilledJob, described

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness


@dataclass(frozen=True)
class ZombieResult:
    """What came of it.

    Attributes:
        result: what is visible in the end, and what is left behind. `reached` says whether the old process stopped at the point.
        exit_code: of the old process; None when it had to be killed, or did not stop.
        last_words: of the old process.
    """

    result: CaseResult
    exit_code: int | None
    last_words: str

    def __str__(self) -> str:
        return f"{self.result}\nthe old process ended with {described(self.exit_code)}:\n{self.last_words}"


def run_zombie(harness: SinkHarness, workdir: Path, crash: Crash) -> ZombieResult:
    """Runs one case.

    Args:
        harness: the sink.
        workdir: an existing, empty folder.
        crash: where the old process is stopped, with SIGSTOP instead of SIGKILL.
    """
    case = CrashCase((crash,))
    job = KilledJob(harness, JobFolder.make(harness, workdir))
    old = JobProcess(job.folder, AttemptOptions(crash=f"{crash}=stop"))
    try:
        if not old.wait_until_stopped(ATTEMPT_TIMEOUT_S):
            return ZombieResult(CaseResult(case, Outcome.NOT_REACHED, (False,)), None, job.folder.last_words())
        new_code = job.attempt(AttemptOptions())
        new_words = job.folder.last_words()
        old.resume()
        old_code = job.wait(old)
    finally:
        old.kill()
    problems = job.final_problems()
    if new_code != 0:
        problems = [*problems, f"the new process ended with {described(new_code)}", new_words]
    outcome = Outcome.WRONG if problems else Outcome.EXACT
    return ZombieResult(CaseResult(case, outcome, (True,), problems, job.left_behind()), old_code, job.folder.last_words())
