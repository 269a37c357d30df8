"""Runs a job of several processes under a plan of faults until it is done, and asks the oracle and the log."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

from millstream.ports import check_crash_points
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import POLL_S, JobProcess
from millstream_testkit.killed_job import KilledJob, described
from millstream_testkit.processes.case import ProcessCase, ProcessResult
from millstream_testkit.processes.standing import standing_of
from millstream_testkit.processes.strikes import Strike, Strikes
from millstream_testkit.processes.system import gone, send, state_of, workers_of

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.processes.case import ProcessAttemptOptions
    from millstream_testkit.processes.fault import ProcessFault

LIMIT_S: Final = 100.0
"""Of one program; a case takes some two seconds, and a busy machine is patient."""

FENCED: Final = ("a newer attempt has fenced it", "has been replaced by leader")
"""What a program says that was replaced while it stood still."""


class ProcessFaultRunner:
    """Runs cases with one sink.

    Args:
        harness: the sink.
        workdir: an existing folder; each case gets a new one inside, which is kept.
    """

    def __init__(self, harness: SinkHarness, workdir: Path) -> None:
        self._harness = harness
        self._workdir = workdir
        self._jobs = 0

    def run(self, case: ProcessCase) -> ProcessResult:
        """Runs one case.

        Raises:
            UnknownCrashPoint: a fault is at a point that nothing declares.
        """
        check_crash_points((fault.point for fault in case.faults), "a fault")
        job, strikes = self._new_job(case)
        try:
            return _Run(job, self._harness, case, strikes).result()
        finally:
            job.drop_target()

    def survey(self, case: ProcessCase) -> dict[str, set[str]]:
        """Who comes by which point, `program` or `worker`, in a run that nothing happens to.

        Raises:
            RuntimeError: it did not come to its end.
        """
        job, strikes = self._new_job(case)
        code = job.attempt(case.options(strikes.folder, survey=True))
        job.drop_target()
        if code != 0:
            msg = f"the undisturbed job ended with {described(code)}:\n{job.folder.last_words()}"
            raise RuntimeError(msg)
        return strikes.passers()

    def _new_job(self, case: ProcessCase) -> tuple[KilledJob, Strikes]:
        self._jobs += 1
        root = self._workdir / f"job-{self._jobs}"
        (root / "faults").mkdir(parents=True)
        strikes = Strikes(root / "faults")
        strikes.plan(case.faults)
        return KilledJob(self._harness, JobFolder.make(self._harness, root, records=case.records)), strikes


class _Run:
    """One case, while it goes on."""

    def __init__(self, job: KilledJob, harness: SinkHarness, case: ProcessCase, strikes: Strikes) -> None:
        self._job = job
        self._harness = harness
        self._case = case
        self._strikes = strikes
        self._codes: list[int | None] = []
        self._stopped: set[int] = set()
        self._problems: list[str] = []
        self._left_behind: list[str] = []
        self._replaced = False

    def result(self) -> ProcessResult:
        """Starts the program until it comes to its end."""
        for _ in range(len(self._case.faults) + 1):
            known = len(self._strikes.struck())
            code = self._attend(self._started())
            if code == 0:
                break
            if not any(_explains(self._case.faults[strike.fault], strike, code) for strike in self._strikes.struck()[known:]):
                self._problems.append(f"the program ended with {described(code)}, and no fault was the reason")
                break
        struck = self._strikes.struck()
        problems = [*self._problems, *self._job.final_problems(), *(problem for strike in struck for problem in self._without_trace(strike))]
        # Of a job that was replaced: what its successor left, looked for before the old processes woke up.
        left = self._left_behind if self._replaced else self._job.left_behind()
        return ProcessResult(self._case, len(struck), problems, left if not problems else [], self._job.folder.last_words())

    def _options(self) -> ProcessAttemptOptions:
        return self._case.options(self._strikes.folder)

    def _started(self) -> JobProcess:
        return JobProcess(self._job.folder, self._options())

    def _attend(self, program: JobProcess) -> int | None:
        """Waits for the end of a program, and sees what is stopped. Of one that is stopped itself: for the end of the one that replaces it."""
        limit_s = time.monotonic() + LIMIT_S
        try:
            while True:
                code = program.poll()
                self._job.look()
                if code is not None or time.monotonic() > limit_s:
                    self._codes.append(code)
                    return code
                stopped = self._newly_stopped()
                if stopped is not None and (stopped.victim == program.pid or self._case.stop != "as it is"):
                    return self._replace(program, stopped)
                time.sleep(POLL_S)
        finally:
            program.kill()

    def _newly_stopped(self) -> Strike | None:
        for strike in self._strikes.struck():
            stops = self._case.faults[strike.fault].action == "stop"
            if stops and strike.fault not in self._stopped and state_of(strike.victim) == "T":
                self._stopped.add(strike.fault)
                return strike
        return None

    def _replace(self, old: JobProcess, stopped: Strike) -> int | None:
        """Another program goes on in the place of the old one; then all that was stopped wakes up, and must change nothing."""
        self._replaced = True
        workers = workers_of(old.pid)
        if self._case.stop == "program killed":
            old.kill()
        elif self._case.stop == "all stopped":
            for pid in (old.pid, *workers):
                send(pid, signal.SIGSTOP)
        try:
            code = self._attend(self._started())
            before = standing_of(self._harness, self._job.folder)
            self._left_behind += self._job.left_behind() if code == 0 else []
        finally:
            for pid in workers:
                if state_of(pid) == "T":
                    send(pid, signal.SIGCONT)
            old.resume()
        end = old.wait(LIMIT_S, self._job.look)
        ends = {-signal.SIGKILL} if self._case.stop == "program killed" else {1}
        if end not in ends and self._case.faults[stopped.fault].point != "job.cleanup":
            self._problems.append(f"the old program ended with {described(end)} when it woke up")
        self._problems += [f"TaskManager {pid} of the old program outlived it" for pid in workers if not gone(pid, LIMIT_S)]
        self._problems += [f"the old processes woke up, and {change}" for change in before.changes(standing_of(self._harness, self._job.folder))]
        return code

    def _without_trace(self, strike: Strike) -> list[str]:
        """What is missing of the traces that a fault leaves when it happens."""
        fault, log = self._case.faults[strike.fault], self._job.folder.log.read_text(errors="replace")
        missing = []
        if fault.action == "raise" and f"fault {strike.fault} at {fault.point}" not in log:
            missing.append("the exception is not in the log")
        if fault.action == "stop" and strike.fault not in self._stopped:
            missing.append("nobody saw it stopped")
        if fault.action == "kill" and (self._strikes.has_survived(strike.fault) or state_of(strike.victim)):
            missing.append("the process lives")
        program = strike.role == "program" and fault.victim == "self"
        replaced = program or self._case.stop == "all stopped"
        if fault.action == "kill" and program and -signal.SIGKILL not in self._codes:
            missing.append("no program ended with exit code -9")
        if fault.action == "kill" and not program and "killed by SIGKILL" not in log:
            missing.append("the program did not see the process end by SIGKILL")
        if fault.action == "stop" and replaced and not any(words in log for words in FENCED) and fault.point != "job.cleanup":
            missing.append("the old program was not fenced")
        if fault.action == "stop" and not replaced and self._case.stop == "as it is" and "gave no sign of life" not in log:
            missing.append("the program did not give the stopped process up")
        return [f"{fault}: {what}" for what in missing]


def _explains(fault: ProcessFault, strike: Strike, code: int | None) -> bool:
    """Whether a program ends so because of that fault."""
    if strike.role == "worker" or fault.victim == "bystander":
        return False
    return (fault.action, code) in {("kill", -signal.SIGKILL), ("raise", 1)}
