"""The guarantee of a job, computed from what its sources, its checkpoints and its sinks can do.

| source | checkpoints | sink | gives |
|---|---|---|---|
| not replayable | any | any | at most once |
| replayable | off, or in memory | any | at most once |
| replayable | at least once | any | at least once |
| replayable | exactly once | plain | at least once |
| replayable | exactly once | idempotent, write-ahead with atomic marker and fencing, two-phase commit | exactly once |

"At most once" is what is left when nothing is promised beyond the life of the process: a restart strategy without checkpoints starts the
job from its beginning, and may write again what was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.contracts.guarantee import Guarantee
from millstream.errors import GuaranteeNotMet

if TYPE_CHECKING:
    from millstream.graph.stream_graph import StreamGraph, StreamNode


@dataclass(frozen=True)
class Leg:
    """One way from a source to a sink.

    Attributes:
        source: label of the source.
        sink: label of the sink.
        guarantee: what the way gives.
        reason: what keeps it from giving more, as a sentence; empty when nothing does.
        fix: what to do about it; empty when nothing is to be done.
    """

    source: str
    sink: str
    guarantee: Guarantee
    reason: str = ""
    fix: str = ""


def legs(graph: StreamGraph, *, checkpointing: bool, mode: str, durable: bool) -> list[Leg]:
    """Every way from a source to a sink of the program, with its guarantee.

    Args:
        checkpointing: whether checkpoints are taken.
        mode: `exactly_once` or `at_least_once`.
        durable: whether checkpoints outlive the process.
    """
    sources = [node for node in graph.nodes if node.source is not None]
    sinks = [node for node in graph.nodes if node.sink is not None]
    return [
        _leg(source, sink, checkpointing=checkpointing, mode=mode, durable=durable)
        for source in sources
        for sink in sinks
        if _reaches(graph, source.node_id, sink)
    ]


def _reaches(graph: StreamGraph, source: int, node: StreamNode) -> bool:
    return node.node_id == source or any(_reaches(graph, source, graph.nodes[edge.source]) for edge in node.inputs)


def _leg(source: StreamNode, sink: StreamNode, *, checkpointing: bool, mode: str, durable: bool) -> Leg:
    assert source.source is not None and sink.sink is not None  # noqa: S101, PT018 - chosen so
    can, give = source.source.capabilities, sink.sink.capabilities

    def leg(guarantee: Guarantee, reason: str, fix: str) -> Leg:
        return Leg(source.label, sink.label, guarantee, reason, fix)

    if not can.replayable:
        why = can.why_not or "it cannot be read again from a stored position"
        return leg(Guarantee.AT_MOST_ONCE, f"The source is not replayable: {why}.", "Read from a replayable source, such as files or Kafka.")
    if not checkpointing:
        fix = "Turn checkpoints on: env.enable_checkpointing(timedelta(seconds=10)) and a checkpoint storage."
        return leg(Guarantee.AT_MOST_ONCE, "No checkpoints are taken.", fix)
    if not durable:
        reason = "Checkpoints are in memory and do not outlive the process."
        return leg(Guarantee.AT_MOST_ONCE, reason, "Set checkpoint.storage to a folder.")
    if mode != "exactly_once":
        fix = "Set checkpoint.mode to exactly_once."
        return leg(Guarantee.AT_LEAST_ONCE, "Checkpoints are in at-least-once mode: records may pass barriers.", fix)
    strongest = give.strongest()
    if strongest is Guarantee.EXACTLY_ONCE:
        return leg(strongest, "", "")
    if give.kind == "write_ahead":
        missing = "write its marker in one step with the records" if not give.atomic_marker else "fence an older attempt"
        return leg(strongest, f"The write-ahead sink cannot {missing}.", "Use a sink that can.")
    if give.kind == "two_phase_commit":
        return leg(strongest, "What the sink prepares does not outlive its process.", "Use a sink whose prepared work does.")
    fix = "Give the sink delivery='exactly_once' if it has that option, or use an idempotent or transactional one."
    return leg(strongest, "The sink writes at once: what follows the last checkpoint is written again after a failure.", fix)


def weakest(ways: list[Leg]) -> Guarantee:
    """The guarantee of the whole job."""
    return min((way.guarantee for way in ways), default=Guarantee.EXACTLY_ONCE)


def require(ways: list[Leg], wanted: Guarantee) -> None:
    """Raises GuaranteeNotMet for the first way that gives less than `wanted`."""
    for way in ways:
        if way.guarantee < wanted:
            raise GuaranteeNotMet(wanted=wanted.label, source=way.source, sink=way.sink, given=way.guarantee.label, reason=way.reason, fix=way.fix)
