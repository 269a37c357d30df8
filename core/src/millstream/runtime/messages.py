"""What JobManager and tasks say to each other, besides checkpoints (`millstream.checkpoint.messages`).

Every message of a task carries its attempt, so that one of an older attempt changes nothing. Messages may go to another process: each is
the same behind cloudpickle.
"""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.contracts.source import Split
from millstream.errors import MillstreamError
from millstream.graph.execution_graph import ExecutionState, SubtaskId

JOB_MANAGER = "job-manager"


class TaskStateChanged(msgspec.Struct, frozen=True):
    """To the JobManager.

    Attributes:
        error: why, when the state is FAILED. Never somebody else's exception: many of those do not survive being sent.
        accumulators: totals of this subtask, when it is FINISHED.
    """

    subtask: SubtaskId
    attempt: int
    state: ExecutionState
    error: MillstreamError | None = None
    accumulators: dict[str, Any] = {}


class FromReader(msgspec.Struct, frozen=True):
    """To the enumerator of a source. `message` None asks for a split."""

    source_uid: str
    subtask: SubtaskId
    attempt: int
    message: bytes | None = None


class StartProcessing(msgspec.Struct, frozen=True):
    """To a task: all tasks of the attempt have restored their state and run. No record and no timer is processed before."""


class SplitsAssigned(msgspec.Struct, frozen=True):
    """To a reader: these are yours now."""

    splits: list[Split]


class NoMoreSplits(msgspec.Struct, frozen=True):
    """To a reader: you have all you will get."""


class FromEnumerator(msgspec.Struct, frozen=True):
    """To a reader: the connector's own message."""

    message: bytes


class CancelTask(msgspec.Struct, frozen=True):
    """To a task: end now, commit nothing."""
