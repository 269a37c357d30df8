"""Runs a job, kills it, starts it again until it is done, and asks the oracle."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from millstream_testkit.case import LAST, CaseResult, Crash, CrashCase, Outcome
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions
from millstream_testkit.killed_job import KilledJob, described

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness

_passes: dict[tuple[str, CrashCase], dict[str, int]] = {}
"""By reference of the harness and case: the same for all runners of a process."""

_EARLIER: Final = (0, 1, 2, 4, 8, 16, 32)
"""How many passes before the last one of another run to try: empty checkpoints between two others make some runs longer than others."""


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

    def run(self, case: CrashCase) -> CaseResult:
        """Runs one case. Of several crashes only the first may be LAST."""
        if not case.crashes or case.crashes[0].occurrence != LAST:
            return self._run(case)
        point, later = case.crashes[0].point, case.crashes[1:]
        last = self.count_passes(replace(case, crashes=())).get(point, 0)
        result = CaseResult(case, Outcome.NOT_REACHED, (False,) * len(case.crashes))
        for occurrence in (last - earlier for earlier in _EARLIER if earlier < last):
            result = self._run(replace(case, crashes=(Crash(point, occurrence), *later)))
            if result.outcome is Outcome.WRONG or result.reached[0]:
                break
        return result

    def count_passes(self, undisturbed: CrashCase) -> dict[str, int]:
        """How often a run that is not killed passes each crash point.

        Raises:
            RuntimeError: it did not come to its end.
        """
        key = self._harness.reference(), undisturbed
        if key not in _passes:
            job = self._new_job(undisturbed)
            count_to = job.folder.root / "passes"
            code = job.attempt(replace(_options(undisturbed, 0, None), count_to=count_to))
            job.drop_target()
            if code != 0:
                msg = f"the undisturbed job ended with {described(code)}:\n{job.folder.last_words()}"
                raise RuntimeError(msg)
            _passes[key] = json.loads(count_to.read_text())
        return _passes[key]

    def _run(self, case: CrashCase) -> CaseResult:
        job = self._new_job(case)
        try:
            return self._killed(job, case)
        finally:
            job.drop_target()

    def _killed(self, job: KilledJob, case: CrashCase) -> CaseResult:
        reached: list[bool] = []
        for number, crash in enumerate((*case.crashes, None)):
            code = job.attempt(_options(case, number, crash))
            if code == 0:
                break
            if crash is None or code != -signal.SIGKILL:
                problem = f"attempt {number + 1} ended with {described(code)}"
                return CaseResult(case, Outcome.WRONG, tuple(reached), [*job.problems, problem, job.folder.last_words()])
            reached.append(True)
        reached += [False] * (len(case.crashes) - len(reached))
        problems = job.final_problems()
        outcome = Outcome.WRONG if problems else Outcome.EXACT if all(reached) else Outcome.NOT_REACHED
        return CaseResult(case, outcome, tuple(reached), problems, job.left_behind())

    def _new_job(self, case: CrashCase) -> KilledJob:
        self._jobs += 1
        root = self._workdir / f"job-{self._jobs}"
        root.mkdir()
        return KilledJob(self._harness, JobFolder.make(self._harness, root, case.shape, case.records))


def _options(case: CrashCase, number: int, crash: Crash | None) -> AttemptOptions:
    return AttemptOptions(
        crash=str(crash) if crash else "",
        messages=case.messages,
        parallelism=case.parallelism[min(number, len(case.parallelism) - 1)],
        checkpoint_timeout_ms=case.checkpoint_timeout_ms,
    )
