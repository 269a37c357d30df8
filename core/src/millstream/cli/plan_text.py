"""A plan as text, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.cli.texts import counted
from millstream.graph.job_graph import DEFAULT_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.plan_model import JobPlan, PlannedEdge, PlannedOperator, PlannedVertex


def text_of(plan: JobPlan) -> str:
    """One block of lines for the job, and one for each vertex."""
    return "\n".join(_lines(plan))


def _lines(plan: JobPlan) -> Iterator[str]:
    yield f"Job {plan.job!r}: {counted(len(plan.vertices), 'vertex').replace('vertexs', 'vertices')}, {counted(plan.tasks, 'task')}"
    checkpoints = plan.checkpoints
    if checkpoints.interval is None:
        yield "  checkpoints    off"
    else:
        yield f"  checkpoints    every {checkpoints.interval}, {checkpoints.mode}, kept in {checkpoints.storage or 'no storage yet'}"
    yield f"  state backend  {plan.state_backend}"
    for vertex in plan.vertices:
        yield ""
        yield from _vertex_lines(plan, vertex)


def _vertex_lines(plan: JobPlan, vertex: PlannedVertex) -> Iterator[str]:
    yield f"Vertex {vertex.id}: {vertex.name}"
    yield f"  parallelism {vertex.parallelism}"
    if vertex.slot_sharing_group != DEFAULT_GROUP:
        yield f"  slot sharing group {vertex.slot_sharing_group!r}"
    for edge in plan.edges:
        if edge.target_vertex == vertex.id and edge.source_vertex != vertex.id:
            yield f"  from vertex {edge.source_vertex} ({plan.vertices[edge.source_vertex].name}): {edge.way}{_key_groups(edge)}{_side_output(edge)}"
            yield f"    records: {edge.records}"
    for operator in vertex.operators:
        yield from _operator_lines(operator)


def _operator_lines(operator: PlannedOperator) -> Iterator[str]:
    uid = f"uid {operator.uid!r}" if operator.uid is not None else "no uid"
    yield f"  {operator.kind} {operator.name!r}: {uid}, {counted(operator.key_groups, 'key group')}"
    for state in operator.states:
        yield f"    state: {state}"


def _key_groups(edge: PlannedEdge) -> str:
    return f", {counted(edge.key_groups, 'key group')}" if edge.key_groups is not None else ""


def _side_output(edge: PlannedEdge) -> str:
    return f", side output {edge.side_output!r}" if edge.side_output is not None else ""
