"""What the program said: one node per transformation, one edge per stream, nothing decided yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.sink import AnySink
    from millstream.contracts.source import Source

PartitioningKind: TypeAlias = Literal["forward", "hash", "rebalance", "rescale", "broadcast", "global", "shuffle", "custom"]


class OperatorSpec(Protocol):
    """A picklable description of an operator.

    Attributes:
        keeps_state: it stores something in checkpoints, so it needs a uid.
    """

    @property
    def keeps_state(self) -> bool:
        """See above."""

    def create(self) -> Any:
        """A new operator (`millstream.runtime.operators.base.Operator`) for one subtask and attempt."""


@dataclass(frozen=True)
class Partitioning:
    """How the records of an edge find their subtask.

    Attributes:
        kind: Flink's names.
        selector: the key selector of `hash`, or the function (key, n) -> index of `custom`.
        key: the key selector of `custom`.
        strict: the program asked for `forward` by name: different parallelisms are an error, else they are rebalanced.
    """

    kind: PartitioningKind
    selector: Callable[..., Any] | None = None
    key: Callable[[Any], Any] | None = None
    strict: bool = False


FORWARD = Partitioning("forward")
REBALANCE = Partitioning("rebalance")


@dataclass(frozen=True)
class StreamEdge:
    """A stream between two nodes.

    Attributes:
        source: id of the node it leaves.
        partitioning: how records are dealt out.
        tag: id of a side output; None for the main output.
    """

    source: int
    partitioning: Partitioning = FORWARD
    tag: str | None = None


@dataclass
class StreamNode:
    """A transformation.

    Attributes:
        node_id: position in the graph, from 0.
        name: for people.
        uid: names the node in checkpoints; None until the program gives one.
        spec: the operator.
        parallelism: as asked for; None to take the job's.
        max_parallelism: as asked for; None to take the job's.
        inputs: where its records come from; several for a union.
        source: the source it reads, for source nodes.
        sink: the sink it writes, for sink nodes.
        chaining: `always`, `head` (starts a new chain) or `never`.
        slot_sharing_group: as asked for; None to take that of its inputs.
        parallel_source: whether a source can have more than one reader.
        output_type: declared type of its records, None where the program says none; for people, no record is believed to be of it.
    """

    node_id: int
    name: str
    spec: OperatorSpec
    uid: str | None = None
    parallelism: int | None = None
    max_parallelism: int | None = None
    inputs: list[StreamEdge] = field(default_factory=list)
    source: Source[Any] | None = None
    sink: AnySink | None = None
    chaining: Literal["always", "head", "never"] = "always"
    slot_sharing_group: str | None = None
    parallel_source: bool = True
    output_type: Any = None

    @property
    def label(self) -> str:
        """Name, and uid where there is one, for messages."""
        return f"{self.name!r} (uid {self.uid!r})" if self.uid else repr(self.name)


@dataclass
class StreamGraph:
    """All nodes of a program, in the order it made them, so that inputs come first."""

    nodes: list[StreamNode] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, spec: OperatorSpec, inputs: list[StreamEdge], **more: Any) -> StreamNode:
        """A new node."""
        node = StreamNode(node_id=len(self.nodes), name=name, spec=spec, inputs=inputs, **more)
        self.nodes.append(node)
        return node

    def consumers(self, node_id: int) -> list[tuple[StreamNode, StreamEdge]]:
        """Nodes that read from a node, with the edge."""
        return [(node, edge) for node in self.nodes for edge in node.inputs if edge.source == node_id]
