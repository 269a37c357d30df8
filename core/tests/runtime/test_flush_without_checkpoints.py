"""Plain sinks flush by themselves where no barrier makes them, so that nothing waits in a buffer and no failure goes untold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.api.sinks import DISCARDING_CAPABILITIES
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.errors import JobFailedError, SinkFailed
from millstream.ports import Clock, InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports


@dataclass
class Buffering(Sink[Any]):
    """Delivers at a flush only.

    Attributes:
        flushed: seconds since the start, with what was flushed then.
    """

    flushed: list[tuple[float, list[Any]]] = field(default_factory=list)
    fails: bool = False
    capabilities: SinkCapabilities = field(init=False, default=DISCARDING_CAPABILITIES)

    def open(self, context: SinkContext) -> SinkWriter[Any]:
        return BufferingWriter(self, context.clock)


class BufferingWriter(SinkWriter[Any]):
    def __init__(self, sink: Buffering, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._start_s = clock.monotonic_s()
        self._buffer: list[Any] = []

    def write(self, values: Any, timestamps: Any) -> None:
        self._buffer += values

    def flush(self) -> None:
        if self._buffer:
            self._sink.flushed.append((round(self._clock.monotonic_s() - self._start_s, 3), self._buffer))
            self._buffer = []
        if self._sink.fails:
            raise TimeoutError("no such partition")


def run(sink: Buffering, count: int, every_s: float, checkpoints: tuple[Path, timedelta] | None = None) -> None:
    """In virtual time, a record every so many seconds."""
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports)
    if checkpoints:
        env.enable_checkpointing(checkpoints[1]).checkpoint_config.set_checkpoint_storage(checkpoints[0])
    env.set_restart_strategy(RestartStrategies.no_restart())
    env.generate(lambda index: index, count=count, rate_per_s=1 / every_s, uid="numbers").sink_to(sink, uid="target")
    env.execute("slow")


def test_what_was_written_is_flushed_a_second_later() -> None:
    sink = Buffering()
    run(sink, count=3, every_s=100)
    assert sink.flushed == [(1.0, [0]), (101.0, [1]), (200.0, [2])]  # the last one at the end of the input


def test_many_records_wait_no_longer_than_a_second() -> None:
    sink = Buffering()
    run(sink, count=40, every_s=0.1)
    assert [len(records) for _, records in sink.flushed] == [10, 10, 10, 10]
    assert [at_s for at_s, _ in sink.flushed] == [1.0, 2.0, 3.0, 3.9]


def test_a_record_that_cannot_be_delivered_fails_the_job_though_no_other_follows() -> None:
    """Otherwise the job would run on until its input ends, and say nothing when it is cancelled before."""
    sink = Buffering(fails=True)
    with pytest.raises(JobFailedError) as failed:
        run(sink, count=2, every_s=10_000)
    assert isinstance(failed.value.__cause__, SinkFailed)
    assert "no such partition" in str(failed.value)
    assert sink.flushed == [(1.0, [0])]


def test_with_checkpoints_only_barriers_flush(tmp_path: Path) -> None:
    sink = Buffering()
    run(sink, count=5, every_s=2, checkpoints=(tmp_path, timedelta(seconds=5)))
    assert [(at_s, len(records)) for at_s, records in sink.flushed] == [(5.0, 3), (8.0, 2)]
