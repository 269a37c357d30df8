"""What the coordinator and the tasks say to each other about checkpoints."""

from __future__ import annotations

import msgspec

from millstream.checkpoint.manifest import TaskState
from millstream.graph.execution_graph import SubtaskId


class TriggerCheckpoint(msgspec.Struct, frozen=True):
    """To sources: capture your position and send a barrier.

    Attributes:
        stop: read nothing after the barrier: the job is being stopped.
        last: the job ends with this checkpoint.
        savepoint: location of the savepoint that is to be written; empty for a checkpoint alone.
    """

    checkpoint_id: int
    timestamp_ms: int
    aligned: bool
    stop: bool = False
    last: bool = False
    savepoint: str = ""


class CheckpointCompleted(msgspec.Struct, frozen=True):
    """To tasks: the checkpoint is durable. May be lost, late or doubled: it stands for every older one too.

    Attributes:
        last: no checkpoint follows; the task ends when it has committed.
    """

    checkpoint_id: int
    last: bool = False


class CheckpointAborted(msgspec.Struct, frozen=True):
    """To tasks: the checkpoint was given up. Sinks keep what they prepared for it until a later one completes."""

    checkpoint_id: int


class SavepointCompleted(msgspec.Struct, frozen=True):
    """To tasks: a savepoint is durable, and the job runs on. Nothing is committed: that comes with the next checkpoint."""

    checkpoint_id: int


class EndSources(msgspec.Struct, frozen=True):
    """To sources: read no more, and let event time end. The job is being drained. May come more than once."""


class CheckpointAcknowledged(msgspec.Struct, frozen=True):
    """To the coordinator: the state of this subtask is stored."""

    subtask: SubtaskId
    attempt: int
    checkpoint_id: int
    state: TaskState


class CheckpointDeclined(msgspec.Struct, frozen=True):
    """To the coordinator: the state of this subtask could not be stored; the task goes on."""

    subtask: SubtaskId
    attempt: int
    checkpoint_id: int
    reason: str
