"""What an operator harness puts around its operator: a job of one operator, outlets that keep what comes out, snapshots as bytes."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, cast

import msgspec

from millstream.api.environment import StreamExecutionEnvironment
from millstream.checkpoint.manifest import OperatorInfo, TaskState
from millstream.errors import InvalidArgument
from millstream.graph.job_graph import JobGraphBuilder
from millstream.graph.stream_graph import StreamEdge

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.api.data_stream import DataStream
    from millstream.graph.job_graph import JobGraph
    from millstream.graph.stream_graph import OperatorSpec
    from millstream.records import RecordBatch

JOB = "harness"


class Saved(msgspec.Struct, frozen=True):
    """A snapshot: the part of a checkpoint that one subtask writes.

    Attributes:
        checkpoint_id: of the checkpoint.
        operator: who it was.
        task: what is where in `data`.
        data: the bytes of its file.
    """

    checkpoint_id: int
    operator: OperatorInfo
    task: TaskState
    data: bytes


class Outlet:
    """Stands where an edge would: keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, int | None]] = []
        self.watermarks: list[int] = []
        self.statuses: list[bool] = []

    def emit(self, batch: RecordBatch[Any]) -> None:
        self.records.extend(zip(batch.values, batch.timestamps or repeat(None)))

    def emit_watermark(self, timestamp: int) -> None:
        self.watermarks.append(timestamp)

    def emit_status(self, idle: bool) -> None:
        self.statuses.append(idle)


class SideOutlets(dict[str, "Callable[[RecordBatch[Any]], None]"]):
    """Every tag has somebody who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.outlets: dict[str, Outlet] = {}

    def __contains__(self, tag: object) -> bool:
        return True

    def __missing__(self, tag: str) -> Callable[[RecordBatch[Any]], None]:
        return self.outlets.setdefault(tag, Outlet()).emit


def job_of(operator: Callable[[DataStream[Any]], object] | OperatorSpec, parallelism: int, max_parallelism: int) -> JobGraph:
    """A job of an empty source and the operator; they are not chained."""
    environment = StreamExecutionEnvironment()
    graph = environment.graph
    try:
        stream: DataStream[Any] = environment.from_collection([], uid="input")
        if hasattr(operator, "create"):
            graph.add("operator", cast("OperatorSpec", operator), [StreamEdge(stream.node.node_id)])
        else:
            operator(stream)
        added = graph.nodes[1:]
        if len(added) != 1:
            raise InvalidArgument(
                what="the operator of a harness", value=", ".join(node.label for node in added) or "none", allowed="exactly one operator"
            )
        added[0].uid = added[0].uid or "operator"
        added[0].parallelism = None
        return JobGraphBuilder(graph, parallelism, max_parallelism, chaining=False).build(JOB)
    finally:
        environment.graph.nodes.clear()  # it is never executed, and that is no oversight
