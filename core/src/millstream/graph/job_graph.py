"""What is deployed: chains of operators that run in one task, and the edges between them.

Two nodes are chained when the edge between them is forward, or a hash edge between two single subtasks (there is one place the key
can go), both have the same parallelism and slot sharing group, the second has that one input, and neither forbids it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.key_groups import default_max_parallelism
from millstream.graph.stream_graph import REBALANCE

if TYPE_CHECKING:
    from millstream.contracts.sink import AnySink
    from millstream.contracts.source import Source
    from millstream.contracts.watermarks import WatermarkAlignment
    from millstream.graph.stream_graph import OperatorSpec, Partitioning, StreamEdge, StreamGraph, StreamNode


DEFAULT_GROUP: Final = "default"
"""Slot sharing group of what was put into none."""


@dataclass(frozen=True)
class ChainTarget:
    """Where a chained operator sends its output.

    Attributes:
        tag: side output, None for the main one.
        position: index in the chain of the next operator, or None.
        edge: index in the vertex's `outputs`, or None. Exactly one of the two is set.
    """

    tag: str | None
    position: int | None = None
    edge: int | None = None


@dataclass(frozen=True)
class ChainedOperator:
    """One operator of a chain."""

    node_id: int
    name: str
    uid: str
    spec: OperatorSpec
    max_parallelism: int
    targets: tuple[ChainTarget, ...]
    source: Source[Any] | None = None
    sink: AnySink | None = None

    @property
    def alignment(self) -> WatermarkAlignment | None:
        """Whom a source waits for in event time."""
        # Of all specs only that of a source has it, and this layer does not know which that is.
        alignment: WatermarkAlignment | None = getattr(self.spec, "alignment", None)
        return alignment


@dataclass(frozen=True)
class JobEdge:
    """Records that leave one vertex for another."""

    edge_id: int
    source: int
    target: int
    partitioning: Partitioning
    target_max_parallelism: int


@dataclass(frozen=True)
class JobVertex:
    """A chain, run by `parallelism` subtasks. The first operator reads the inputs (or is a source).

    Attributes:
        slot_sharing_group: its subtasks share slots with those of other vertices of the group, and with nobody else.
    """

    vertex_id: int
    name: str
    parallelism: int
    chain: tuple[ChainedOperator, ...]
    inputs: tuple[JobEdge, ...]
    outputs: tuple[JobEdge, ...]
    slot_sharing_group: str = DEFAULT_GROUP

    @property
    def is_source(self) -> bool:
        """Whether the chain begins with a source."""
        return self.chain[0].source is not None


@dataclass(frozen=True)
class JobGraph:
    """A job, ready to be run: picklable where its functions are."""

    job_name: str
    vertices: tuple[JobVertex, ...] = field(default_factory=tuple)

    def vertex(self, vertex_id: int) -> JobVertex:
        """The vertex of that id."""
        return self.vertices[vertex_id]

    def operators(self) -> list[tuple[JobVertex, ChainedOperator]]:
        """Every operator with its vertex."""
        return [(vertex, operator) for vertex in self.vertices for operator in vertex.chain]


class JobGraphBuilder:
    """Turns a stream graph into a job graph.

    Args:
        graph: the program.
        parallelism: what nodes get that ask for none.
        max_parallelism: what nodes get that ask for none; None for Flink's default by parallelism.
        chaining: False runs every operator in a task of its own.
    """

    def __init__(self, graph: StreamGraph, parallelism: int, max_parallelism: int | None, *, chaining: bool = True) -> None:
        self._graph = graph
        self._parallelism = parallelism
        self._max_parallelism = max_parallelism
        self._chaining = chaining
        self._groups: list[str] = []  # by node; inputs come before their consumers
        for node in graph.nodes:
            inherited = {self._groups[edge.source] for edge in node.inputs}
            self._groups.append(node.slot_sharing_group or (inherited.pop() if len(inherited) == 1 else DEFAULT_GROUP))

    def parallelism_of(self, node: StreamNode) -> int:
        """Subtasks of a node."""
        return node.parallelism or self._parallelism

    def max_parallelism_of(self, node: StreamNode) -> int:
        """Key groups of a node."""
        return node.max_parallelism or self._max_parallelism or default_max_parallelism(self.parallelism_of(node))

    def build(self, job_name: str) -> JobGraph:
        """The job graph."""
        heads = [node for node in self._graph.nodes if not self._chained_to(node)]
        chains = [self._collect(head) for head in heads]
        place = {node.node_id: (vertex, position) for vertex, chain in enumerate(chains) for position, node in enumerate(chain)}
        edges: list[JobEdge] = []
        targets: dict[int, list[ChainTarget]] = {node.node_id: [] for node in self._graph.nodes}
        outputs: dict[int, list[JobEdge]] = {vertex: [] for vertex in range(len(chains))}
        for node in self._graph.nodes:
            for edge in node.inputs:
                vertex = place[edge.source][0]
                if self._chained_to(node):
                    targets[edge.source].append(ChainTarget(edge.tag, position=place[node.node_id][1]))
                    continue
                partitioning = self._effective(edge, node)
                job_edge = JobEdge(len(edges), vertex, place[node.node_id][0], partitioning, self.max_parallelism_of(node))
                targets[edge.source].append(ChainTarget(edge.tag, edge=len(outputs[vertex])))
                outputs[vertex].append(job_edge)
                edges.append(job_edge)
        vertices = tuple(
            JobVertex(
                vertex_id=number,
                name=" -> ".join(node.name for node in chain),
                parallelism=self.parallelism_of(chain[0]),
                chain=tuple(self._operator(node, targets) for node in chain),
                inputs=tuple(edge for edge in edges if edge.target == number),
                outputs=tuple(outputs[number]),
                slot_sharing_group=self._groups[chain[0].node_id],
            )
            for number, chain in enumerate(chains)
        )
        return JobGraph(job_name, vertices)

    def _operator(self, node: StreamNode, targets: dict[int, list[ChainTarget]]) -> ChainedOperator:
        return ChainedOperator(
            node_id=node.node_id,
            name=node.name,
            uid=node.uid or f"{node.node_id}:{node.name}",
            spec=node.spec,
            max_parallelism=self.max_parallelism_of(node),
            targets=tuple(targets[node.node_id]),
            source=node.source,
            sink=node.sink,
        )

    def _chained_to(self, node: StreamNode) -> bool:
        """Whether the node continues the chain of its only input."""
        if not self._chaining or len(node.inputs) != 1 or node.chaining != "always":
            return False
        (edge,) = node.inputs
        before = self._graph.nodes[edge.source]
        return before.chaining != "never" and self._is_local(edge, before, node)

    def _is_local(self, edge: StreamEdge, before: StreamNode, node: StreamNode) -> bool:
        parallelism = self.parallelism_of(node)
        if parallelism != self.parallelism_of(before) or self._groups[before.node_id] != self._groups[node.node_id]:
            return False
        return edge.partitioning.kind == "forward" or (edge.partitioning.kind == "hash" and parallelism == 1)

    def _effective(self, edge: StreamEdge, node: StreamNode) -> Partitioning:
        before = self._graph.nodes[edge.source]
        if edge.partitioning.kind == "forward" and self.parallelism_of(before) != self.parallelism_of(node):
            return REBALANCE
        return edge.partitioning

    def _collect(self, head: StreamNode) -> list[StreamNode]:
        """The head and every node chained behind it, inputs before their consumers."""
        members = {head.node_id}
        chain = [head]
        for node in self._graph.nodes[head.node_id + 1 :]:
            if self._chained_to(node) and node.inputs[0].source in members:
                members.add(node.node_id)
                chain.append(node)
        return chain
