"""State that cannot be written to a checkpoint: the checkpoint declines, names the culprit, and the job's state stays whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    ProcessWindowFunction,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.errors import CheckpointFailed, JobFailedError
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

COUNT = 100


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


def numbers(folder: Path, tolerated: int, *, restarts: bool = False, clock: ManualClock | None = None) -> Any:
    """0 to 99, one each ms, a checkpoint every 10 ms, in virtual time. `restarts`: as the default strategy does."""
    ports = Ports(clock or ManualClock(0), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).enable_checkpointing(timedelta(milliseconds=10))
    if not restarts:
        env.set_restart_strategy(RestartStrategies.no_restart())
    env.checkpoint_config.set_checkpoint_storage(folder).set_tolerable_checkpoint_failures(tolerated)
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    return env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, watermark_strategy=strategy, uid="numbers")


def bad_for_a_while(value: int) -> Any:
    """A lambda for the records 40 to 59, which no codec takes."""
    return (lambda: value) if 40 <= value < 60 else value


class Remember(KeyedProcessFunction[int, int, int]):
    """Keeps the last value of each key."""

    def __init__(self, descriptor: Any) -> None:
        self.descriptor = descriptor

    def open(self, context: RuntimeContext) -> None:
        self.last = context.get_state(self.descriptor)

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.last.value()
        self.last.update(bad_for_a_while(value))
        out.collect(value)


class Buffer(MapFunction[int, int]):
    """Keeps the last value in operator list state."""

    def open(self, context: RuntimeContext) -> None:
        self.last = context.get_operator_list_state(ListStateDescriptor("last"))

    def map(self, value: int) -> int:
        self.last.update([bad_for_a_while(value)])
        return value


class Numbers(ProcessWindowFunction[Any, Any, int, Any]):
    def process(self, key: int, context: Any, elements: Any) -> Any:
        return [element() if callable(element) else element for element in elements]


WAYS: dict[str, Any] = {
    "value state": lambda stream: stream.key_by(lambda n: 0).process(Remember(ValueStateDescriptor("last")), uid="bad", name="keeper"),
    "wrong type": lambda stream: stream.key_by(lambda n: 0).process(Remember(ValueStateDescriptor("last", int)), uid="bad", name="keeper"),
    "operator list": lambda stream: stream.map(Buffer(), uid="bad", name="keeper"),
    "reduce": lambda stream: stream.map(bad_for_a_while).key_by(lambda n: 0).reduce(lambda a, b: b, uid="bad", name="keeper"),
    "window": lambda stream: stream.map(bad_for_a_while).key_by(lambda n: 0).window(TumblingEventTimeWindows(8)).process(Numbers(), uid="bad", name="keeper"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_job_goes_on_while_its_state_cannot_be_written(tmp_path: Path, way: str) -> None:
    rows = WAYS[way](numbers(tmp_path, tolerated=5)).execute_and_collect()
    values = [row() if callable(row) else row for row in rows]
    assert sorted(values) == list(range(COUNT))
    result = rows.result()
    assert (result.restarts, result.status.value) == (0, "finished")
    assert 5 <= result.checkpoints <= 9


@pytest.mark.parametrize("way", WAYS)
def test_the_message_names_the_state_the_operator_and_the_reason(tmp_path: Path, way: str) -> None:
    with pytest.raises(
        JobFailedError,
        match=r"\ACheckpoint \d+ failed: State '.*' of operator '(keeper|bad)' cannot be written to a checkpoint.*checkpoint\.tolerable_failures",
    ) as raised:
        list(WAYS[way](numbers(tmp_path, tolerated=0)).execute_and_collect())
    assert isinstance(raised.value.__cause__, CheckpointFailed)
    text = str(raised.value)
    assert ("function" in text) or ("lambda" in text)
    assert raised.value.last_checkpoint is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_job_whose_state_can_never_be_written_is_not_restarted_for_ever(tmp_path: Path, way: str) -> None:
    stream = numbers(tmp_path, tolerated=0, restarts=True).map(lambda n: 40 if n >= 40 else n)
    with pytest.raises(JobFailedError, match="cannot be written to a checkpoint") as raised:
        list(WAYS[way](stream).execute_and_collect())
    assert raised.value.restarts == 2
    assert raised.value.last_checkpoint is not None


def test_state_touched_while_its_snapshot_is_being_written_never_fails_the_function(tmp_path: Path) -> None:
    """Many keys, all used again right behind the barrier: an entry that cannot be encoded is the checkpoint's problem alone."""

    class Many(KeyedProcessFunction[int, int, int]):
        def open(self, context: RuntimeContext) -> None:
            self.state = context.get_state(ValueStateDescriptor("state"))

        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            self.state.value()
            self.state.update(lambda: value)
            out.collect(value)

    stream = numbers(tmp_path, tolerated=1000).flat_map(lambda n: range(50)).key_by(lambda n: n).process(Many(), uid="many")
    env = stream.environment
    env.checkpoint_config.set_tolerable_checkpoint_failures(2)
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect())
    assert isinstance(raised.value.__cause__, CheckpointFailed)


def test_a_last_checkpoint_that_fails_is_tried_again_after_a_while_and_not_at_once(tmp_path: Path) -> None:
    class BadAtTheEnd(Buffer):
        def map(self, value: int) -> Any:
            self.last.update([value if value < COUNT - 1 else lambda: value])
            return value

    clock = ManualClock(0)
    with pytest.raises(JobFailedError, match="cannot be written to a checkpoint"):
        list(numbers(tmp_path, tolerated=5, clock=clock).map(BadAtTheEnd(), uid="buffer").execute_and_collect())
    assert 5 <= clock.monotonic_s() < 7  # 0.1 s of records, then six failures a second apart
