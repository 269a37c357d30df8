"""A job that is killed and started again, watched from outside all the while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream_testkit.coverage import covered_numbers
from millstream_testkit.job_process import AttemptOptions, JobProcess
from millstream_testkit.oracle import Row, Verdict, compare, expected_rows

if TYPE_CHECKING:
    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.job_folder import JobFolder

ATTEMPT_TIMEOUT_S: Final = 40.0
"""An undisturbed attempt takes about one; a busy machine is patient."""


class KilledJob:
    """One job over all its attempts.

    Args:
        harness: its sink.
        folder: where it lives.

    Attributes:
        problems: what was seen to be wrong while it ran.
    """

    def __init__(self, harness: SinkHarness, folder: JobFolder) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._harness = harness
        self._only_committed = harness.declared().visible_only_committed
        self._once = harness.promises_exactly_once()

    def attempt(self, options: AttemptOptions) -> int | None:
        """Starts a process and waits for its end, however it comes. The exit code; None when it took too long."""
        return self.wait(JobProcess(self.folder, options))

    def wait(self, process: JobProcess) -> int | None:
        """As `attempt`, for a process that runs already."""
        try:
            code = process.wait(ATTEMPT_TIMEOUT_S, self.look)
        finally:
            process.kill()
        self.look()
        return code

    def look(self) -> None:
        """Looks at the target as a reader would: nothing may be visible that no complete checkpoint covers, if the sink promises that."""
        if self.problems or not self._only_committed:
            return
        visible = self._harness.seen(self.folder.target)
        # Read after the target: what was visible then must be covered by now.
        covered = covered_numbers(self.folder.source(), self.folder.journal, self.folder.checkpoints)
        if covered is None:
            return
        early = sorted(row for row in visible if row[0] not in covered)
        if early:
            self.problems.append(f"{len(early)} rows were visible before a checkpoint covered them: {early[:5]}")

    def final_problems(self) -> list[str]:
        """What is wrong with a job that has come to its end. A sink that gives at least once may show a row again."""
        verdict = self.verdict()
        good = verdict.exact if self._once else not (verdict.missing or verdict.wrong)
        return self.problems if good else [*self.problems, str(verdict)]

    def verdict(self) -> Verdict[Row]:
        """How what is visible differs from what should be when the job is done."""
        return compare(expected_rows(self.folder.records, self.folder.keys), self._harness.seen(self.folder.target))

    def drop_target(self) -> None:
        """Removes the target. The folder is kept."""
        self._harness.drop_target(self.folder.target)

    def left_behind(self) -> list[str]:
        """What should be gone when the job has come to its end."""
        folder = self.folder
        checkpoints = sorted(str(path.relative_to(folder.root)) for path in folder.checkpoints.glob("*/chk-*"))
        return [*self._harness.leftovers(folder.target), *checkpoints]


def described(code: int | None) -> str:
    """An exit code in words."""
    return f"no end within {ATTEMPT_TIMEOUT_S:g} s" if code is None else f"exit code {code}"
