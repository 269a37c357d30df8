"""What `millstream plan` shows of a job, as plain data that each of its formats renders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from millstream.cli.plan_exchanges import exchange_text
from millstream.cli.plan_states import states_of
from millstream.config import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.program import Program
    from millstream.config.sections import CheckpointConfig
    from millstream.graph.job_graph import ChainedOperator, JobVertex
    from millstream.graph.stream_graph import Partitioning


@dataclass(frozen=True)
class PlannedOperator:
    """One operator of a chain.

    Attributes:
        id: unique within the job.
        uid: None where the program gives none.
        states: a line for each thing it keeps in checkpoints.
    """

    id: int
    kind: Literal["source", "sink", "operator"]
    name: str
    uid: str | None
    key_groups: int
    states: list[str]


@dataclass(frozen=True)
class PlannedVertex:
    """Operators that run in one task, of which there are `parallelism`, in slots of that group."""

    id: int
    name: str
    parallelism: int
    slot_sharing_group: str
    operators: list[PlannedOperator]


@dataclass(frozen=True)
class PlannedEdge:
    """Records on their way from one operator to another.

    Attributes:
        source: id of the operator that emits them.
        target: id of the operator that takes them.
        source_vertex: id of the vertex of `source`.
        target_vertex: id of the vertex of `target`; the same where the two are chained.
        partitioning: Flink's name; `chained` where one operator calls the other.
        by: name of the key selector or of the partitioning function, None where there is none.
        side_output: id of the tag, None for the main output.
        key_groups: of the target, where the partitioning is by key.
        records: how they are written where they go to another process; None where the two are chained.
    """

    source: int
    target: int
    source_vertex: int
    target_vertex: int
    partitioning: str
    by: str | None = None
    side_output: str | None = None
    key_groups: int | None = None
    records: str | None = None

    @property
    def way(self) -> str:
        """The partitioning as people read it: `hash by sensor`."""
        return f"{self.partitioning} by {self.by}" if self.by is not None else self.partitioning


@dataclass(frozen=True)
class PlannedCheckpoints:
    """When checkpoints are taken and where they are kept."""

    interval: str | None
    mode: str
    storage: str | None


@dataclass(frozen=True)
class JobPlan:
    """A job as it would be deployed.

    Attributes:
        tasks: number of subtasks over all vertices.
    """

    job: str
    tasks: int
    checkpoints: PlannedCheckpoints
    state_backend: str
    vertices: list[PlannedVertex]
    edges: list[PlannedEdge]

    @property
    def operators(self) -> list[PlannedOperator]:
        """Those of all vertices."""
        return [operator for vertex in self.vertices for operator in vertex.operators]


def plan_of(program: Program) -> JobPlan:
    """The plan of a program.

    Raises:
        EmptyJob, MissingUid, DuplicateUid, InvalidParallelism, GuaranteeNotMet, TypeNotCarried: it cannot run as it is.
    """
    environment = program.environment
    job, settings = environment.job_graph(program.job_name), environment.settings(program.job_name)
    graph = environment.graph
    exchanged = {(node.node_id, tag): exchange_text(node, tag, graph.tags) for node in graph.nodes for tag in (None, *graph.tags)}
    uids = {node.node_id: node.uid for node in environment.graph.nodes}
    return JobPlan(
        job=job.job_name,
        tasks=sum(vertex.parallelism for vertex in job.vertices),
        checkpoints=_checkpoints(settings.checkpoint),
        state_backend=settings.state.backend,
        vertices=[
            PlannedVertex(
                vertex.vertex_id, vertex.name, vertex.parallelism, vertex.slot_sharing_group, [_operator(one, uids) for one in vertex.chain]
            )
            for vertex in job.vertices
        ],
        edges=[edge for vertex in job.vertices for edge in _edges(vertex, job.vertices, exchanged)],
    )


def _checkpoints(config: CheckpointConfig) -> PlannedCheckpoints:
    return PlannedCheckpoints(format_duration(config.interval) if config.interval is not None else None, config.mode, config.storage)


def _operator(operator: ChainedOperator, uids: dict[int, str | None]) -> PlannedOperator:
    kind: Literal["source", "sink", "operator"] = "source" if operator.source is not None else "sink" if operator.sink is not None else "operator"
    return PlannedOperator(operator.node_id, kind, operator.name, uids[operator.node_id], operator.max_parallelism, states_of(operator.spec))


def _edges(vertex: JobVertex, vertices: tuple[JobVertex, ...], exchanged: dict[tuple[int, str | None], str]) -> Iterator[PlannedEdge]:
    for operator in vertex.chain:
        for target in operator.targets:
            if target.position is not None:
                called = vertex.chain[target.position]
                yield PlannedEdge(operator.node_id, called.node_id, vertex.vertex_id, vertex.vertex_id, "chained", side_output=target.tag)
            elif target.edge is not None:
                edge = vertex.outputs[target.edge]
                yield PlannedEdge(
                    source=operator.node_id,
                    target=vertices[edge.target].chain[0].node_id,
                    source_vertex=vertex.vertex_id,
                    target_vertex=edge.target,
                    partitioning=edge.partitioning.kind,
                    by=_function_of(edge.partitioning),
                    side_output=target.tag,
                    key_groups=edge.target_max_parallelism if edge.partitioning.kind == "hash" else None,
                    records=exchanged[operator.node_id, target.tag],
                )


def _function_of(partitioning: Partitioning) -> str | None:
    function = partitioning.selector
    return None if function is None else getattr(function, "__qualname__", type(function).__qualname__)
