"""Whether what two-phase sinks prepare is kept for as long as a checkpoint may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.errors import PreparedTooShort

if TYPE_CHECKING:
    from millstream.config.sections import CheckpointConfig
    from millstream.graph.stream_graph import StreamGraph


def check_prepared(graph: StreamGraph, config: CheckpointConfig) -> None:
    """Compares the sinks of a program with its checkpoints.

    The first record of an epoch comes just behind a barrier. The next checkpoint begins an interval or a pause later, and is complete within
    its timeout. A job that is down meanwhile needs more time; how much, nobody knows.

    Raises:
        PreparedTooShort: a target may have dropped what is prepared when its checkpoint is complete.
    """
    if config.interval is None:
        return
    begins_s, timeout_s = max(config.interval, config.min_pause).total_seconds(), config.timeout.total_seconds()
    for node in graph.nodes:
        kept_s = node.sink.capabilities.max_prepared_age_s if node.sink is not None else None
        if kept_s is not None and kept_s <= begins_s + timeout_s:
            raise PreparedTooShort(sink=node.label, kept_s=kept_s, begins_s=begins_s, timeout_s=timeout_s)
