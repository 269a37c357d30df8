"""What is done to a job of several processes, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Action: TypeAlias = Literal["kill", "stop", "raise"]
Victim: TypeAlias = Literal["self", "bystander"]


class InjectedFault(RuntimeError):
    """What `raise` raises: an exception as any code may raise it."""


@dataclass(frozen=True)
class ProcessFault:
    """One fault. It strikes once: in the process that is the first to come by the point so often.

    Attributes:
        point: a crash point; points of the coordinator are passed by the program's process, the others by TaskManagers.
        occurrence: at which pass of that process, 1-based, counted from when the fault is armed.
        action: `kill` sends SIGKILL, `stop` sends SIGSTOP, `raise` raises an InjectedFault.
        victim: `self` is the process at the point; `bystander` is another TaskManager, and the process at the point goes on.
        at_once: it is armed as soon as the fault before it has struck; else in the recovery from that: in processes that were started since,
            and in the program when it has started some.
    """

    point: str
    occurrence: int = 1
    action: Action = "kill"
    victim: Victim = "self"
    at_once: bool = False

    def __str__(self) -> str:
        whose = " of a bystander" if self.victim == "bystander" else ""
        return f"{self.action}{whose} at {self.point}" + (f"#{self.occurrence}" if self.occurrence > 1 else "")
