"""A case of faults over several processes, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

from millstream_testkit.case import Outcome
from millstream_testkit.job_process import AttemptOptions
from millstream_testkit.processes.armed import FAULTS_VARIABLE, SURVEY_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.processes.fault import ProcessFault


Stop: TypeAlias = Literal["as it is", "program killed", "all stopped"]
"""What else happens when a process is stopped."""


@dataclass(frozen=True)
class ProcessCase:
    """One job over several processes, and what happens to it.

    Attributes:
        faults: in order; each strikes after the one before it.
        processes: TaskManagers.
        parallelism: of the job.
        records: how many numbers go through it.
        heartbeat_timeout_ms: after which a TaskManager that is stopped is given up.
        stop: what else happens when a process is stopped. `as it is`: a stopped program is replaced by another start of the job, and woken when
            that is done; a stopped TaskManager is given up by its program. `program killed`: the program of a stopped TaskManager is killed and
            replaced, and the TaskManager woken when that is done. `all stopped`: program and TaskManagers are stopped together, as when the
            machine stands still, replaced, and woken when that is done.
    """

    faults: tuple[ProcessFault, ...]
    processes: int = 2
    parallelism: int = 2
    records: int = 60
    heartbeat_timeout_ms: int = 1_500
    stop: Stop = "as it is"

    def __str__(self) -> str:
        runs = [(str(fault), len(list(same))) for fault, same in groupby(self.faults)]
        text = ", then ".join(fault if times == 1 else f"{fault}, {times} times" for fault, times in runs) or "undisturbed"
        if self.stop != "as it is":
            text = f"{text}, {self.stop}"
        return text if self.processes == 2 else f"{text}, {self.processes} processes"

    def options(self, faults: Path, *, survey: bool = False) -> ProcessAttemptOptions:
        """How its program is started. `faults` is the folder of its plan."""
        return ProcessAttemptOptions(
            parallelism=self.parallelism, processes=self.processes, heartbeat_timeout_ms=self.heartbeat_timeout_ms, faults=faults, survey=survey
        )


@dataclass(frozen=True)
class ProcessAttemptOptions(AttemptOptions):
    """How the program of a job over several processes is started.

    Attributes:
        processes: TaskManagers; 0 runs all in the program's process.
        heartbeat_timeout_ms: setting `execution.heartbeat_timeout`.
        faults: folder of the plan of faults.
        survey: notes who comes by which point instead.
    """

    processes: int = 2
    heartbeat_timeout_ms: int = 1_500
    faults: Path | None = None
    survey: bool = False

    def arguments(self) -> list[str]:
        return [*super().arguments(), f"--processes={self.processes}", f"--heartbeat-timeout-ms={self.heartbeat_timeout_ms}"]

    def own_variables(self) -> dict[str, str]:
        ours = {FAULTS_VARIABLE: str(self.faults or ""), SURVEY_VARIABLE: "1" if self.survey else ""}
        return {**super().own_variables(), **ours}


@dataclass(frozen=True)
class ProcessResult:
    """What came of a case.

    Attributes:
        struck: how many of the faults happened.
        problems: what is wrong, a sentence each; empty when the output is exact, each fault that struck left its traces, and nothing else failed.
        left_behind: what should be gone when the job is done.
        log: the end of what the processes wrote.
    """

    case: ProcessCase
    struck: int
    problems: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def outcome(self) -> Outcome:
        """WRONG when there is a problem or something left, NOT_REACHED when a fault never came to strike."""
        if self.problems or self.left_behind:
            return Outcome.WRONG
        return Outcome.EXACT if self.struck == len(self.case.faults) else Outcome.NOT_REACHED

    def __str__(self) -> str:
        lines = [f"{self.case}: {self.outcome.value}, {self.struck} of {len(self.case.faults)} faults struck", *self.problems]
        if self.left_behind:
            lines.append(f"left behind: {', '.join(self.left_behind[:5])}")
        return "\n  ".join([*lines, self.log])
