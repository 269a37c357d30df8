"""What is sent to where a task is to run: its part of the job, and where it finds the outside world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from millstream.graph.execution_graph import SubtaskId

if TYPE_CHECKING:
    from millstream.checkpoint.leadership import Leadership
    from millstream.checkpoint.restore import OperatorRestore
    from millstream.config import ExecutionConfig
    from millstream.contracts.state_backend import StateBackend
    from millstream.graph.job_graph import JobVertex
    from millstream.ports import Clock, Executor, Random, Storage, Transport


@dataclass(frozen=True)
class Ports:
    """The outside world of a process."""

    clock: Clock
    random: Random
    transport: Transport
    storage: Storage
    executor: Executor


@dataclass(frozen=True)
class TaskDeployment:
    """All a task needs to know to start. It may go to another process: by cloudpickle, because it carries the user's functions.

    Attributes:
        parallelisms: subtasks of every vertex of the job, by its id.
        task_managers: where every subtask of the job runs, for whoever connects their channels.
        restore: what each operator takes over, by uid.
        restored_id: the checkpoint that comes from; None on a fresh start.
        restored_elsewhere: whether it is not among the job's own, where there may be another one of that number.
        rewound_from: run id of that checkpoint, when it is rewound into a new run.
        incremental_from: size of a subtask's keyed state, in bytes, from which only what changed is stored; None for never.
        checkpointing: whether the job takes checkpoints at an interval.
        strict_state: see the setting `state.strict`.
        lanes: the most subtasks that a sink has had in the run so far.
        allow_non_restored_state: see the setting `job.allow_non_restored_state`.
        leadership: of the JobManager that sends it; None in tests of a task alone.
    """

    job_name: str
    run_id: str
    vertex: JobVertex
    subtask: int
    attempt: int
    options: ExecutionConfig
    state_backend: StateBackend
    parallelisms: dict[int, int]
    task_managers: dict[SubtaskId, str]
    restore: dict[str, OperatorRestore] = field(default_factory=dict)
    restored_id: int | None = None
    restored_elsewhere: bool = False
    rewound_from: str | None = None
    incremental_from: int | None = None
    checkpointing: bool = True
    strict_state: bool = False
    lanes: int = 0
    allow_non_restored_state: bool = False
    leadership: Leadership | None = None

    @property
    def subtask_id(self) -> SubtaskId:
        """The place in the graph."""
        return SubtaskId(self.vertex.vertex_id, self.subtask)
