"""What is done to a job, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

LAST: Final = 0
"""As an occurrence: the last time that an undisturbed run passes the point."""

Shape = Literal["chained", "keyed"]


@dataclass(frozen=True)
class Crash:
    """The process is killed with SIGKILL at a named point.

    Attributes:
        point: its name.
        occurrence: at which pass of that process, 1-based; or LAST.
    """

    point: str
    occurrence: int = 1

    def __str__(self) -> str:
        return f"{self.point}#{self.occurrence or 'last'}"


@dataclass(frozen=True)
class CrashCase:
    """One job, killed at one point in each attempt until there are no more.

    Attributes:
        crashes: one for each attempt, in order; the attempt after the last is left alone.
        shape: of the job: `chained` is one task from source to sink, `keyed` has two, with a shuffle, state and timers between them.
        parallelism: of each attempt; the last holds for all that follow.
        messages: what happens to messages between coordinator and tasks; see `millstream_testkit.messages`.
        records: how many numbers go through the job.
        checkpoint_timeout_ms: after which a checkpoint has failed.
        name: of the case; made from the rest when it is empty.
    """

    crashes: tuple[Crash, ...] = ()
    shape: Shape = "keyed"
    parallelism: tuple[int, ...] = (2,)
    messages: str = ""
    records: int = 60
    checkpoint_timeout_ms: int = 10_000
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.name:
            return self.name
        text = " then ".join(map(str, self.crashes)) or "undisturbed"
        if self.shape != "keyed":
            text += f", {self.shape}"
        if self.parallelism != (2,):
            text += f", parallelism {'-'.join(map(str, self.parallelism))}"
        return f"{text}, messages {self.messages}" if self.messages else text


class Outcome(Enum):
    """EXACT: nothing lost, doubled or shown too early. NOT_REACHED: exact too, but a point was never passed."""

    EXACT = "exact"
    WRONG = "wrong"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class CaseResult:
    """What came of a case.

    Attributes:
        reached: for each crash, whether the process died there.
        problems: what is wrong, a sentence each; empty unless the outcome is WRONG.
        left_behind: temporary files and the like that a job which is done should not leave.
    """

    case: CrashCase
    outcome: Outcome
    reached: tuple[bool, ...] = ()
    problems: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        missed = [str(crash) for crash, reached in zip(self.case.crashes, self.reached) if not reached]
        lines = [f"{self.case}: {self.outcome.value}" + (f" ({', '.join(missed)})" if missed else ""), *self.problems]
        if self.left_behind:
            lines.append(f"left behind: {', '.join(self.left_behind[:5])}")
        return "\n  ".join(lines)
