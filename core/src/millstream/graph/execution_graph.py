"""The parallel form of a job graph: one execution per subtask, with an attempt number that is part of every id."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from millstream.graph.job_graph import JobGraph


class ExecutionState(Enum):
    """Life of one attempt of one subtask."""

    CREATED = "created"
    DEPLOYING = "deploying"
    RUNNING = "running"
    INPUT_ENDED = "input ended"
    FINISHED = "finished"
    CANCELED = "canceled"
    FAILED = "failed"


_ORDER: Final = {
    ExecutionState.CREATED: 0,
    ExecutionState.DEPLOYING: 1,
    ExecutionState.RUNNING: 2,
    ExecutionState.INPUT_ENDED: 3,
    ExecutionState.FINISHED: 4,
    ExecutionState.CANCELED: 4,
    ExecutionState.FAILED: 4,
}


@dataclass(frozen=True, slots=True, order=True)
class SubtaskId:
    """A place in the graph, whatever the attempt."""

    vertex: int
    subtask: int


@dataclass
class Execution:
    """One attempt of one subtask."""

    subtask: SubtaskId
    attempt: int
    state: ExecutionState = ExecutionState.CREATED

    def advance(self, state: ExecutionState) -> bool:
        """Takes a new state. False when it was there before: what was said twice comes late, and states only go forward."""
        if _ORDER[state] <= _ORDER[self.state]:
            return False
        self.state = state
        return True

    @property
    def address(self) -> str:
        """Where its messages go. It carries the attempt, so that messages of an older one reach nobody."""
        return task_address(self.subtask, self.attempt)


def task_address(subtask: SubtaskId, attempt: int) -> str:
    """Transport address of one attempt."""
    return f"task/{subtask.vertex}/{subtask.subtask}/{attempt}"


class ExecutionGraph:
    """The current execution of every subtask of a job.

    Attributes:
        attempt: the highest attempt number among them; all have it, unless some were restarted alone.
    """

    def __init__(self, job: JobGraph, attempt: int) -> None:
        self.job = job
        self.attempt = attempt
        self._executions = {
            SubtaskId(vertex.vertex_id, index): Execution(SubtaskId(vertex.vertex_id, index), attempt)
            for vertex in job.vertices
            for index in range(vertex.parallelism)
        }

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._executions.values())

    def __len__(self) -> int:
        return len(self._executions)

    def current(self, subtask: SubtaskId) -> Execution:
        """The execution of a subtask, whatever its attempt."""
        return self._executions[subtask]

    def find(self, subtask: SubtaskId, attempt: int) -> Execution | None:
        """The execution, or None when the message that names it is of an older attempt."""
        execution = self._executions.get(subtask)
        return execution if execution is not None and execution.attempt == attempt else None

    def replace(self, subtasks: Iterable[SubtaskId], attempt: int) -> list[Execution]:
        """New executions of some subtasks, not deployed yet. Messages of the old ones are of an older attempt from now on."""
        self.attempt = attempt
        fresh = [Execution(subtask, attempt) for subtask in sorted(subtasks)]
        self._executions.update((execution.subtask, execution) for execution in fresh)
        return fresh

    def sources(self) -> list[Execution]:
        """Executions of source vertices."""
        return [e for e in self if self.job.vertex(e.subtask.vertex).is_source]

    def all_in(self, *states: ExecutionState) -> bool:
        """Whether every execution is in one of the states."""
        return all(e.state in states for e in self)
