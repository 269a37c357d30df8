"""What is demanded of a sink while its process is killed, stopped and replaced: whole jobs in processes of their own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from millstream_testkit.case import LAST, CaseResult, Crash, CrashCase, Outcome
from millstream_testkit.crash_runner import CrashRunner
from millstream_testkit.demands import Sampling, declares, demand, kind
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions
from millstream_testkit.killed_job import KilledJob
from millstream_testkit.plan import CRASH_LOOP, OWN_POINTS, crash_cases, recovery_cases, second_crash_cases
from millstream_testkit.steps import step_names
from millstream_testkit.suites.attempts import opening, rows
from millstream_testkit.suites.messages import message_cases
from millstream_testkit.suites.sink_contract import COMMITS, Note, SinkContractBase, too_modest
from millstream_testkit.zombie import run_zombie

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness

_COMMIT: Final = Crash("sink.commit.before", 3)
_DURABLE: Final = Crash("checkpoint.durable.before_notify", 2)


def takeover_cases(harness: SinkHarness, sampling: Sampling) -> list[CrashCase]:
    """Kills after which the job goes on with another parallelism."""
    committing = harness.declared().kind in ("write_ahead", "two_phase_commit")
    first = _COMMIT if committing else _DURABLE
    cases = [CrashCase((first,), parallelism=(2, 3)), CrashCase((Crash("checkpoint.durable.before_notify", 3),), parallelism=(3, 1))]
    if committing:
        applied, recovered = Crash("sink.commit.after", 4), Crash("recovery.after_first_commit")
        cases += [
            CrashCase((applied, Crash("sink.commit.before")), parallelism=(3, 1, 2)),
            CrashCase((Crash("sink.prepare.after", 6),), parallelism=(3, 1)),
            CrashCase((first, Crash("sink.open.after_fence"), recovered), parallelism=(2, 1, 3, 2)),
        ]
    cases.append(CrashCase((first,), shape="chained", parallelism=(2, 1)))
    return cases if sampling.full else cases[:3]


def zombie_cases(harness: SinkHarness, sampling: Sampling) -> list[Crash]:
    """Where the old process is stopped."""
    committing = harness.declared().kind in ("write_ahead", "two_phase_commit")
    cases = [_COMMIT if committing else Crash("sink.write.mid_epoch", 3), _DURABLE]
    return [*cases, Crash("checkpoint.metadata.before_rename"), Crash("job.cleanup")] if sampling.full else cases


def step_cases(harness: SinkHarness, sampling: Sampling) -> list[str]:
    """Which part of the way through a call: sixteenths in full, else a few."""
    parts = range(17) if sampling.full else (4, 8, 12, 16)
    return [f"{part}/16" for part in parts]


def assert_good(result: CaseResult) -> None:
    """Nothing lost, nothing doubled that must not be, nothing visible too early, nothing left."""
    assert result.outcome is not Outcome.WRONG, str(result)
    assert result.left_behind == [], str(result)


class SinkCrashes(SinkContractBase):
    """All kinds of sinks; what must hold is what the kind promises."""

    @demand("Wherever the process dies, its successor makes good what the sink promises.", cases=crash_cases, kills=True)
    def test_crash_at_every_point(self, case: CrashCase, tmp_path: Path) -> None:
        result = CrashRunner(self.made_harness(), tmp_path).run(case)
        assert_good(result)
        if not result.reached[0] and case.crashes[0].point in OWN_POINTS:
            pytest.skip(f"not run: the connector's code passes no crash point {case.crashes[0].point}; it is killed between its calls instead")
        assert result.reached[0], f"the job never passed {case.crashes[0].point}; if the sink cannot, name it in not_passed of the harness. {result}"

    @demand("A second death during the recovery from the first changes nothing.", cases=second_crash_cases, kills=True)
    def test_crash_in_the_recovery(self, case: CrashCase, tmp_path: Path) -> None:
        result = CrashRunner(self.made_harness(), tmp_path).run(case)
        assert_good(result)
        # Not every point of the recovery is passed after every first crash; what is visible must be right all the same.
        if case in (CRASH_LOOP, *recovery_cases(self.made_harness())) and case.crashes[-1].point not in OWN_POINTS:
            assert all(result.reached), str(result)

    @demand("A death between any two calls that the commit makes neither loses nor doubles a record.", when=COMMITS, cases=step_cases, kills=True)
    def test_crash_between_any_two_calls_of_a_commit(self, case: str, tmp_path: Path, note: Note) -> None:
        harness: SinkHarness = self.made_harness()
        runner = CrashRunner(harness, tmp_path)
        passed = runner.count_passes(CrashCase())
        method = "commit_batch" if harness.declared().kind == "write_ahead" else "commit"
        steps = [name for name in step_names(method) if name in passed]
        assert steps, f"{method}() calls nothing: it cannot have reached a target"
        part, parts = map(int, case.split("/"))
        crash = Crash(steps[min(part * len(steps) // parts, len(steps) - 1)], 2 if passed[steps[-1]] > 1 else 1)
        result = runner.run(CrashCase((crash,)))
        assert_good(result)
        assert all(result.reached), f"the job never came to {crash}. {result}"
        capabilities = harness.declared()
        if capabilities.kind == "write_ahead" and not capabilities.atomic_marker and result.outcome is Outcome.EXACT and part == parts:
            note(too_modest("atomic_marker", "no death within a commit doubled a record in this sample"))

    @demand("A death between any two calls of the barrier leaves nothing that shows, and nothing behind.", when=kind("two_phase_commit"), kills=True)
    def test_crash_between_two_calls_of_prepare(self, tmp_path: Path) -> None:
        harness: SinkHarness = self.made_harness()
        runner = CrashRunner(harness, tmp_path)
        passed = runner.count_passes(CrashCase())
        steps = [name for name in step_names("prepare") if passed.get(name, 0) > 2]
        for name in {steps[len(steps) // 2], steps[-1]} if steps else ():
            assert_good(runner.run(CrashCase((Crash(name, 3),))))

    @demand("Notifications may be lost, late or doubled, and checkpoints fail, without effect.", when=COMMITS, cases=message_cases, kills=True)
    def test_notifications_lost_late_and_doubled(self, case: CrashCase, tmp_path: Path) -> None:
        assert_good(CrashRunner(self.made_harness(), tmp_path).run(case))

    @demand("A job that goes on with another parallelism finishes the lanes of those that are gone.", cases=takeover_cases, kills=True)
    def test_another_parallelism_takes_over(self, case: CrashCase, tmp_path: Path) -> None:
        result = CrashRunner(self.made_harness(), tmp_path).run(case)
        assert_good(result)
        assert result.reached[0], str(result)

    @demand(
        "An old process that is stopped, replaced and wakes up changes nothing, and notices.",
        when=declares("fencing"),
        cases=zombie_cases,
        kills=True,
    )
    def test_a_zombie_changes_nothing(self, case: Crash, tmp_path: Path) -> None:
        harness: SinkHarness = self.made_harness()
        zombie = run_zombie(harness, tmp_path, case)
        assert zombie.result.reached == (True,), f"the old process was never at {case}: {zombie}"
        assert zombie.result.outcome is not Outcome.WRONG, str(zombie)
        if case.point != "job.cleanup":
            assert zombie.exit_code == 1, str(zombie)
            assert any(words in zombie.last_words for words in ("a newer attempt has fenced it", "has been replaced by leader")), str(zombie)

    @demand("What a reader finds during the run is covered by a complete checkpoint.", when=declares("visible_only_committed"), kills=True)
    def test_a_reader_during_the_run_sees_only_what_is_covered(self, tmp_path: Path) -> None:
        # Dies when all is acknowledged and nothing complete: what a reader finds then was shown too early.
        runner = CrashRunner(self.made_harness(), tmp_path)
        for crash in (Crash("checkpoint.metadata.before_rename", 2), Crash("coordinator.acks.all", LAST)):
            assert_good(runner.run(CrashCase((crash,))))


class SinkRewinds(SinkContractBase):
    """Going back to a checkpoint that is older than what the target has."""

    @demand("A checkpoint older than what is committed is refused, nothing is written, and the newest goes on.", when=COMMITS, kills=True)
    def test_a_marker_that_is_ahead_stops_the_job(self, tmp_path: Path) -> None:
        job, checkpoints = self._killed_with_checkpoints(tmp_path)
        if self._harness().declared().kind == "two_phase_commit" and not self._tells_what_is_committed(job):
            pytest.skip("not run: newest_committed of the sink tells nothing, so that nobody can notice a rewind")
        before = sorted(self._harness().seen(job.folder.target))
        assert job.attempt(AttemptOptions(resume=str(checkpoints[0]), retained=9)) == 1, (
            "the job went on from a checkpoint older than what the target has: its records are written again"
        )
        assert "or pass --rewind to produce them again" in job.folder.last_words(), job.folder.last_words()
        assert sorted(self._harness().seen(job.folder.target)) == before
        assert job.attempt(AttemptOptions()) == 0, job.folder.last_words()
        assert job.final_problems() == []
        job.drop_target()

    @demand("A rewind that was asked for produces again what came after the checkpoint, and loses nothing.", when=COMMITS, kills=True)
    def test_a_rewind_that_was_asked_for_loses_nothing(self, tmp_path: Path) -> None:
        job, checkpoints = self._killed_with_checkpoints(tmp_path)
        before = sorted(self._harness().seen(job.folder.target))
        assert job.attempt(AttemptOptions(resume=str(checkpoints[0]), rewind=True, retained=9)) == 0, job.folder.last_words()
        found = job.verdict()
        assert (found.missing, found.wrong) == ([], []), str(found)
        assert set(found.doubled) <= set(before), "rows were doubled that had not been written before the rewind"
        assert found.doubled
        job.drop_target()

    def _tells_what_is_committed(self, job: KilledJob) -> bool:
        other = job.folder.root / "other"
        other.mkdir()
        target = self._harness().create_target(other)
        with opening(self._harness(), target) as attempts:
            writer = attempts.open()
            writer.write(rows(0, 3))
            writer.commit(writer.seal(4))
            told = writer.client.newest_committed(0)
        self._harness().drop_target(target)
        return told is not None

    def _harness(self) -> Any:
        return self.made_harness()

    def _killed_with_checkpoints(self, root: Path) -> tuple[KilledJob, list[Path]]:
        """A job that died when four checkpoints were complete and all but the last committed, and those four, oldest first."""
        harness = self._harness()
        job = KilledJob(harness, JobFolder.make(harness, root))
        assert job.attempt(AttemptOptions(crash="checkpoint.durable.before_notify#4", retained=9)) == -signal.SIGKILL
        manifests = job.folder.checkpoints.glob("*/chk-*/_metadata")
        return job, sorted((path.parent for path in manifests), key=lambda path: int(path.name.removeprefix("chk-")))
