"""What JobManager and tasks say to each other, besides checkpoints (`millstream.checkpoint.messages`).

Every message of a task carries its attempt, so that one of an older attempt changes nothing. A message may come twice, the second time much
later: either it changes nothing then by what it says, or it carries a number, which rises with each message from there to here.
Messages may go to another process: each is the same behind cloudpickle.
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
    """To the enumerator of a source. `message` None asks for a split.

    Attributes:
        number: of what this reader says to it, from 1.
    """

    source_uid: str
    subtask: SubtaskId
    attempt: int
    message: bytes | None = None
    number: int = 0


class ReportedWatermark(msgspec.Struct, frozen=True):
    """To the JobManager, from a source whose strategy aligns watermarks: how far its event time has come.

    Attributes:
        watermark: the highest there is when it holds nobody back.
        number: of what this subtask reported, from 1.
    """

    source_uid: str
    subtask: SubtaskId
    attempt: int
    watermark: int
    number: int


class WatermarkLimit(msgspec.Struct, frozen=True):
    """To a source: read nothing whose watermark is above the limit.

    Attributes:
        number: of what this subtask was told, from 1.
    """

    limit: int
    number: int


class StartProcessing(msgspec.Struct, frozen=True):
    """To a task: all tasks of the attempt have restored their state and run. No record and no timer is processed before."""


class SplitsAssigned(msgspec.Struct, frozen=True):
    """To a reader: these are yours now.

    Attributes:
        number: of what the enumerator says to this reader, from 1; so it is in the other three.
    """

    splits: list[Split]
    number: int = 0


class NoMoreSplits(msgspec.Struct, frozen=True):
    """To a reader: you have all you will get."""

    number: int = 0


class NoSplitsYet(msgspec.Struct, frozen=True):
    """To a reader: there is nothing for you now."""

    number: int = 0


class FromEnumerator(msgspec.Struct, frozen=True):
    """To a reader: the connector's own message."""

    message: bytes
    number: int = 0


class CancelTask(msgspec.Struct, frozen=True):
    """To a task: end now, commit nothing."""
