"""What a checkpoint of much state does to the records that come meanwhile.

The job keeps a running count for each of a million keys and takes a checkpoint each second to a folder on disk, while records arrive
at a steady rate. Looked at is the time from the trigger of a checkpoint until it is durable: the longest gap between two batches that
reach the sink, and how long records take from the moment they were due until they are there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from functions import sensor_of
from millstream_ends import CallingSink
from snapshot_ends import FilledThenPaced, Moments

from millstream import StreamExecutionEnvironment

Running = tuple[str, int, int]


# A lambda, as in most jobs: without an annotation the state goes through the data codec.
count: Callable[[Running, Running], Running] = lambda total, record: (total[0], total[1] + record[1], record[2])  # noqa: E731
"""One more; with the moment of the newest."""


def snapshots(keys: int, rate: int, seconds: float) -> dict[str, Any]:
    """Figures of one run in ms, over all checkpoints that were taken of the full state."""
    moments = Moments()
    env = StreamExecutionEnvironment.create_local_environment(parallelism=1)
    source = FilledThenPaced([f"sensor-{i}" for i in range(keys)], rate, seconds, moments)
    env.from_source(source, uid="paced").key_by(sensor_of).reduce(count, uid="count").sink_to(CallingSink(moments.arrive), uid="out")
    env.enable_checkpointing(timedelta(seconds=1))
    with tempfile.TemporaryDirectory() as folder:
        env.checkpoint_config.set_checkpoint_storage(folder)
        env.execute("snapshots")
    return figures(moments)


def figures(moments: Moments) -> dict[str, Any]:
    """The longest gap of every checkpoint, and the latency of the records that were due while one was under way."""
    full_ns = next(at_ns for at_ns, due in moments.arrivals if due[-1])
    last_ns = moments.arrivals[-1][0]
    taken = [
        (began_ns, moments.durable[number])
        for number, began_ns in moments.triggered.items()
        if full_ns < began_ns and moments.durable.get(number, last_ns) < last_ns
    ]
    arrivals = [(at_ns, due) for at_ns, due in moments.arrivals if at_ns >= full_ns]
    return {
        "checkpoints": len(taken),
        "duration_ms": [(end_ns - began_ns) / 1e6 for began_ns, end_ns in taken],
        "gap_ms": [max(gaps(arrivals, *span)) / 1e6 for span in taken],
        "latency_ms": [(at_ns - due_ns) / 1e6 for at_ns, due in arrivals for due_ns in due if any(b <= due_ns <= e for b, e in taken)],
        "between_ms": [(at_ns - due_ns) / 1e6 for at_ns, due in arrivals for due_ns in due if not any(b <= due_ns <= e for b, e in taken)],
    }


def gaps(arrivals: list[tuple[int, list[int]]], began_ns: int, end_ns: int) -> Iterator[int]:
    """Times between batches that reach into a span."""
    for (before_ns, _), (at_ns, _) in pairwise(arrivals):
        if at_ns > began_ns and before_ns < end_ns:
            yield at_ns - before_ns
