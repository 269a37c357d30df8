"""`millstream plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from millstream.cli.job_options import command_line_settings, script_arguments, setting_options, settings_given
from millstream.cli.plan_states import states_of
from millstream.cli.program import look_at_program
from millstream.cli.texts import counted
from millstream.config import format_duration
from millstream.runtime.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.program import Program
    from millstream.config import Settings
    from millstream.graph.job_graph import ChainedOperator, JobEdge, JobGraph, JobVertex
    from millstream.graph.stream_graph import Partitioning


@click.command(short_help="Show the job graph of a script, without running it.")
@script_arguments
@setting_options
def plan(script: str, script_args: tuple[str, ...], pairs: tuple[str, ...], **named: Any) -> None:
    """Runs SCRIPT up to its first job and shows that job as it would be deployed: vertices with their chained operators, how records get
    from one vertex to the next, and how each state is written.

    A vertex runs as so many tasks as its parallelism says. Chained operators call each other directly; between vertices records go
    through channels, inside one process as they are, without being written.

    Exit codes: 0 shown, 1 the program cannot run as it is, 2 wrong usage. A SystemExit of the script passes.
    """
    given = settings_given(pairs, **named)
    with command_line_settings(given) as resolved:
        configure_logging(resolved.settings.logging.level)
        click.echo("\n".join(look_at_program(script, script_args, _lines_of)))


def _lines_of(program: Program) -> list[str]:
    environment = program.environment
    has_uid = {node.node_id: node.uid is not None for node in environment.graph.nodes}
    return list(_lines(environment.job_graph(program.job_name), environment.settings(program.job_name), has_uid))


def _lines(job: JobGraph, settings: Settings, has_uid: dict[int, bool]) -> Iterator[str]:
    tasks = sum(vertex.parallelism for vertex in job.vertices)
    yield f"Job {job.job_name!r}: {counted(len(job.vertices), 'vertex').replace('vertexs', 'vertices')}, {counted(tasks, 'task')}"
    checkpoint = settings.checkpoint
    if checkpoint.interval is None:
        yield "  checkpoints    off"
    else:
        yield f"  checkpoints    every {format_duration(checkpoint.interval)}, {checkpoint.mode}, kept in {checkpoint.storage or 'no storage yet'}"
    yield f"  state backend  {settings.state.backend}"
    for vertex in job.vertices:
        yield ""
        yield from _vertex_lines(job, vertex, has_uid)


def _vertex_lines(job: JobGraph, vertex: JobVertex, has_uid: dict[int, bool]) -> Iterator[str]:
    yield f"Vertex {vertex.vertex_id}: {vertex.name}"
    yield f"  parallelism {vertex.parallelism}"
    for edge in vertex.inputs:
        yield f"  from vertex {edge.source} ({job.vertex(edge.source).name}): {_partitioning(edge.partitioning)}{_key_groups(edge)}"
    for operator in vertex.chain:
        yield from _operator_lines(operator, has_uid[operator.node_id])


def _operator_lines(operator: ChainedOperator, has_uid: bool) -> Iterator[str]:
    kind = "source" if operator.source is not None else "sink" if operator.sink is not None else "operator"
    uid = f"uid {operator.uid!r}" if has_uid else "no uid"
    yield f"  {kind} {operator.name!r}: {uid}, {counted(operator.max_parallelism, 'key group')}"
    for state in states_of(operator.spec):
        yield f"    state: {state}"


def _key_groups(edge: JobEdge) -> str:
    return f", {counted(edge.target_max_parallelism, 'key group')}" if edge.partitioning.kind == "hash" else ""


def _partitioning(partitioning: Partitioning) -> str:
    function = partitioning.selector
    if function is None:
        return partitioning.kind
    return f"{partitioning.kind} by {getattr(function, '__qualname__', type(function).__qualname__)}"
