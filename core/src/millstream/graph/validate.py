"""What is checked of a program before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.errors import DuplicateUid, EmptyJob, InvalidParallelism, MissingUid

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.graph.stream_graph import StreamGraph, StreamNode


def validate(
    graph: StreamGraph,
    *,
    checkpointing: bool,
    parallelism_of: Callable[[StreamNode], int],
    max_parallelism_of: Callable[[StreamNode], int],
) -> None:
    """Checks a program.

    Raises:
        EmptyJob: there is no source, or nothing that consumes one.
        MissingUid: checkpoints are on, and something that is kept in them has no uid.
        DuplicateUid: two operators have one uid.
        InvalidParallelism: more subtasks than key groups, or a forward edge between different parallelisms.
    """
    if not any(node.source for node in graph.nodes) or not any(node.inputs for node in graph.nodes):
        raise EmptyJob()
    seen: dict[str, StreamNode] = {}
    for node in graph.nodes:
        if checkpointing and node.uid is None and node.spec.keeps_state:
            raise MissingUid(operator=node.name)
        if node.uid is not None:
            if node.uid in seen:
                raise DuplicateUid(uid=node.uid, first=seen[node.uid].name, second=node.name)
            seen[node.uid] = node
        _check_parallelism(graph, node, parallelism_of, max_parallelism_of)


def _check_parallelism(
    graph: StreamGraph, node: StreamNode, parallelism_of: Callable[[StreamNode], int], max_parallelism_of: Callable[[StreamNode], int]
) -> None:
    subtasks, groups = parallelism_of(node), max_parallelism_of(node)
    if subtasks > groups:
        fix = f"Lower its parallelism to {groups}, or raise max_parallelism (not possible once there are checkpoints)."
        raise InvalidParallelism(operator=node.label, what=f"has parallelism {subtasks}, but only {groups} key groups", fix=fix)
    for edge in node.inputs:
        before = graph.nodes[edge.source]
        if edge.partitioning.strict and parallelism_of(before) != subtasks:
            what = f"has parallelism {subtasks}, but its forward input {before.label} has {parallelism_of(before)}"
            raise InvalidParallelism(operator=node.label, what=what, fix="Put rebalance() between them, or give both the same parallelism.")
