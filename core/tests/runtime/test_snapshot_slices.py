"""How long a task encodes between two batches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream_memory.snapshot import MemoryTableSnapshot


@pytest.mark.parametrize(
    ("batch_s", "slice_s"),
    [(0.001, 0.002), (0.032, 0.004), (5.0, 0.005)],
    ids=["short batches: 2 ms", "long batches: an eighth of one", "very long batches: 5 ms"],
)
def test_a_slice_of_a_snapshot_grows_with_the_time_that_a_batch_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_s: float, slice_s: float
) -> None:
    clock = ManualClock(0)
    slices: dict[Any, list[float]] = {}
    advance = MemoryTableSnapshot.advance

    def watched(snapshot: MemoryTableSnapshot, until_s: float) -> bool:
        seen = slices.setdefault(snapshot, [])
        seen.append(until_s - clock.monotonic_s())
        return len(seen) == 5 and advance(snapshot, until_s)  # as if the time were always up

    def slow(number: int) -> int:
        clock.advance(batch_s)
        return number

    monkeypatch.setattr(MemoryTableSnapshot, "advance", watched)
    ports = Ports(clock, SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor())
    env = StreamExecutionEnvironment({"execution.batch_size": 1}, ports=ports).enable_checkpointing(timedelta(seconds=4 * batch_s))
    env.checkpoint_config.set_checkpoint_storage(tmp_path)
    numbers = env.generate(lambda index: index, count=30, uid="numbers").map(slow)
    sums = numbers.key_by(lambda number: number % 3).sum(uid="sums")
    assert len(list(sums.execute_and_collect("slices"))) == 30
    while_running = [seen for seen in slices.values() if len(seen) == 5][:-1]  # not the last checkpoint: no batches come any more
    assert while_running
    for seen in while_running:
        assert seen[1:] == pytest.approx([slice_s] * 4)
