"""Runs a job, kills it, starts it again until it is done, and asks the oracle."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from millstream_testkit.case import LAST, CaseResult, Crash, CrashCase, Outcome
from millstream_testkit.coverage import covered_numbers
from millstream_testkit.job_process import JobFolder, JobProcess
from millstream_testkit.oracle import compare, expected_rows

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness

ATTEMPT_TIMEOUT_S: Final = 20.0
"""An undisturbed attempt takes less than one."""

_LAST_VARIES: Final = 4
"""By how many passes two runs of one job may differ, because an empty checkpoint fell between two others."""


class CrashRunner:
    """Runs cases with one sink.

    Args:
        harness: the sink.
        workdir: an existing folder; each case gets a new one inside, which is kept.
    """

    def __init__(self, harness: SinkHarness, workdir: Path) -> None:
        self._harness = harness
        self._workdir = workdir
        self._jobs = 0
        self._passes: dict[CrashCase, dict[str, int]] = {}

    def run(self, case: CrashCase) -> CaseResult:
        """Runs one case."""
        if not any(crash.occurrence == LAST for crash in case.crashes):
            return self._run(case)
        last = self.count_passes(replace(case, crashes=())).get(case.crashes[0].point, 0)
        result = CaseResult(case, Outcome.NOT_REACHED)
        for occurrence in range(last, max(0, last - _LAST_VARIES), -1):
            crashes = tuple(Crash(crash.point, crash.occurrence or occurrence) for crash in case.crashes)
            result = self._run(replace(case, crashes=crashes))
            if result.outcome is Outcome.WRONG or result.reached[0]:
                break
        return result

    def count_passes(self, undisturbed: CrashCase) -> dict[str, int]:
        """How often a run that is not killed passes each crash point."""
        if undisturbed not in self._passes:
            folder = self._new_folder(undisturbed)
            counts = folder.root / "passes"
            code = JobProcess(folder, undisturbed.parallelism[0], messages=undisturbed.messages, count_to=str(counts)).wait(
                ATTEMPT_TIMEOUT_S, lambda: None
            )
            if code != 0:
                msg = f"the undisturbed job ended with {_described(code)}:\n{folder.last_words()}"
                raise RuntimeError(msg)
            self._passes[undisturbed] = json.loads(counts.read_text())
        return self._passes[undisturbed]

    def _run(self, case: CrashCase) -> CaseResult:
        job = _Job(self._harness, self._new_folder(case), case)
        reached: list[bool] = []
        for number, crash in enumerate((*case.crashes, None)):
            code = job.attempt(number, crash)
            if crash is not None and code == -signal.SIGKILL:
                reached.append(True)
                continue
            if code != 0:
                return CaseResult(
                    case,
                    Outcome.WRONG,
                    tuple(reached),
                    [*job.problems, f"attempt {number + 1} ended with {_described(code)}", job.folder.last_words()],
                )
            break
        reached += [False] * (len(case.crashes) - len(reached))
        problems = job.final_problems()
        outcome = Outcome.WRONG if problems else Outcome.EXACT if all(reached) else Outcome.NOT_REACHED
        return CaseResult(case, outcome, tuple(reached), problems, job.left_behind())

    def run_zombie(self, crash: Crash, shape: str = "keyed") -> tuple[CaseResult, str]:
        """The process is stopped at a point instead of killed, a new one runs to the end, then the old one goes on.

        Returns:
            The result, and what the old process said last.
        """
        case = CrashCase((crash,))
        job = _Job(self._harness, self._new_folder(case), case)
        old = JobProcess(job.folder, crash=f"{crash}=stop")
        try:
            if not old.wait_until_stopped(ATTEMPT_TIMEOUT_S):
                return CaseResult(case, Outcome.NOT_REACHED, (False,)), job.folder.last_words()
            code = job.attempt(1, None)
            if code != 0:
                problem = f"the new process ended with {_described(code)}"
                return CaseResult(case, Outcome.WRONG, (True,), [*job.problems, problem, job.folder.last_words()]), ""
            old.resume()
            old_code = old.wait(ATTEMPT_TIMEOUT_S, job.look)
        finally:
            old.kill()
        problems = job.final_problems()
        if old_code == 0:
            problems.append("the old process took itself for successful")
        elif old_code is None:
            problems.append(f"the old process was still there {ATTEMPT_TIMEOUT_S:g} s after it went on")
        return CaseResult(case, Outcome.WRONG if problems else Outcome.EXACT, (True,), problems, job.left_behind()), job.folder.last_words()

    def _new_folder(self, case: CrashCase) -> JobFolder:
        self._jobs += 1
        root = self._workdir / f"job-{self._jobs}"
        root.mkdir()
        return JobFolder(root, self._harness.factory, case.shape)


class _Job:
    """A job under way."""

    def __init__(self, harness: SinkHarness, folder: JobFolder, case: CrashCase) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._harness = harness
        self._case = case

    def attempt(self, number: int, crash: Crash | None) -> int | None:
        """Starts the process and waits for its end, however it comes."""
        case = self._case
        process = JobProcess(
            self.folder,
            case.parallelism[min(number, len(case.parallelism) - 1)],
            crash=str(crash) if crash else "",
            messages=case.messages,
            checkpoint_timeout_ms=300 if "Acknowledged" in case.messages else 10_000,
        )
        try:
            code = process.wait(ATTEMPT_TIMEOUT_S, self.look)
        finally:
            process.kill()
        self.look()
        return code

    def look(self) -> None:
        """Looks at the target as a reader would: nothing may be visible that no complete checkpoint covers."""
        if self.problems:
            return
        visible = self._harness.visible(self.folder.target)
        # Read after the target: what was visible then must be covered by now.
        covered = covered_numbers(self.folder.source(), self.folder.journal, self.folder.checkpoints)
        if covered is None:
            return
        early = sorted(row for row in visible if row[0] not in covered)
        if early:
            self.problems.append(f"{len(early)} rows were visible before a checkpoint covered them: {early[:5]}")

    def final_problems(self) -> list[str]:
        """What is wrong with a job that has come to its end."""
        folder = self.folder
        verdict = compare(expected_rows(folder.records, folder.keys), self._harness.visible(folder.target))
        return self.problems if verdict.exact else [*self.problems, str(verdict)]

    def left_behind(self) -> list[str]:
        """What should be gone when the job has come to its end."""
        folder = self.folder
        checkpoints = sorted(str(path.relative_to(folder.root)) for path in folder.checkpoints.glob("*/chk-*"))
        return [*self._harness.leftovers(folder.target), *checkpoints]


def _described(code: int | None) -> str:
    return f"no end within {ATTEMPT_TIMEOUT_S:g} s" if code is None else f"exit code {code}"
