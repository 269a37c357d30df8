"""Operator state and state with a time to live in whole jobs that are restored from a retained checkpoint, at the same and at another
parallelism."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pytest

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    ReducingStateDescriptor,
    RestartStrategies,
    RuntimeContext,
    StateTtlConfig,
    StreamExecutionEnvironment,
)
from millstream.errors import JobFailedError, RestoreMismatch, StateIncompatible
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

COUNT = 100
RESCALES = [(2, 2), (2, 3), (3, 1)]
MORE_RESCALES = [*RESCALES, (1, 2), (2, 5), (5, 2), (4, 1)]


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


def environment(folder: Path, parallelism: int, resume: str | None = None, start_ms: int = 1_000_000) -> StreamExecutionEnvironment:
    """In virtual time, with a checkpoint every 10 ms that is kept."""
    ports = Ports(ManualClock(start_ms), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism)
    env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(RestartStrategies.no_restart())
    env.checkpoint_config.set_checkpoint_storage(folder)
    if resume is not None:
        env.configure("job.resume", resume)
    return env


def failing_at(end: int) -> Callable[[int], int]:
    def failing(value: int) -> int:
        if value == end:
            raise ValueError("power cut")
        return value

    return failing


class Lists(MapFunction[int, int]):
    """Fills its state at the first start, and notes what it finds in it when it is opened."""

    found: ClassVar[dict[int, Any]] = {}
    records: ClassVar[list[int]] = []

    def __init__(self, mode: str, keep_own_part: bool = True) -> None:
        self.mode = mode
        self.keep_own_part = keep_own_part

    def open(self, context: RuntimeContext) -> None:
        subtask = context.subtask
        if self.mode == "broadcast":
            rules = context.get_broadcast_state(MapStateDescriptor("s", str, int))
            self.found[subtask] = dict(rules.items())
            if rules.is_empty():
                # Equal copies would not show whose copy a subtask gets.
                rules.put("from", subtask)
            return
        descriptor = ListStateDescriptor("s", str)
        state = context.get_operator_list_state(descriptor) if self.mode == "split" else context.get_union_list_state(descriptor)
        self.found[subtask] = list(state.get())
        if not self.found[subtask]:
            state.add_all(f"{subtask}.{number}" for number in range(subtask + 2))
        elif self.mode == "union" and self.keep_own_part:
            state.update(self.found[subtask][subtask :: context.parallelism])

    def map(self, value: int) -> int:
        self.records.append(value)
        return value


@pytest.fixture(autouse=True)
def _forget() -> None:
    Lists.found.clear()
    Lists.records.clear()


def run(folder: Path, function: MapFunction[int, int], parallelism: int, resume: str | None = None, fail_at: int = 40) -> dict[int, Any]:
    """What each subtask found when it was opened. The run fails, with some checkpoints behind it."""
    numbers = environment(folder, parallelism, resume).generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers")
    Lists.found.clear()
    Lists.records.clear()
    with pytest.raises(JobFailedError) as raised:
        list(numbers.rebalance().map(function).uid("lists").map(failing_at(fail_at)).execute_and_collect("operator state"))
    if "power cut" not in str(raised.value):
        raise raised.value.__cause__ or raised.value
    return dict(Lists.found)


def written(parallelism: int) -> list[list[str]]:
    return [[f"{subtask}.{number}" for number in range(subtask + 2)] for subtask in range(parallelism)]


@pytest.mark.parametrize(("before", "after"), MORE_RESCALES)
def test_a_list_is_dealt_in_contiguous_runs_and_unchanged_parallelism_gives_each_subtask_its_own_back(
    tmp_path: Path, before: int, after: int
) -> None:
    assert run(tmp_path, Lists("split"), before) == {subtask: [] for subtask in range(before)}
    row = [item for items in written(before) for item in items]
    run_length, longer = divmod(len(row), after)
    rest = iter(row)
    wanted = written(before) if before == after else [[next(rest) for _ in range(run_length + (i < longer))] for i in range(after)]
    assert run(tmp_path, Lists("split"), after, "auto") == dict(enumerate(wanted))


@pytest.mark.parametrize(("before", "after"), MORE_RESCALES)
def test_of_a_union_list_every_subtask_receives_the_whole_on_every_restore_also_without_rescale(tmp_path: Path, before: int, after: int) -> None:
    run(tmp_path, Lists("union"), before)
    row = [item for items in written(before) for item in items]
    assert run(tmp_path, Lists("union"), after, "auto", fail_at=65) == dict.fromkeys(range(after), row)
    # Each kept its own part: the next restore has everything once again, in the order of the subtasks.
    parts = [item for subtask in range(after) for item in row[subtask::after]]
    assert run(tmp_path, Lists("union"), after, "auto", fail_at=90) == dict.fromkeys(range(after), parts)


def test_what_stays_in_the_union_list_of_each_subtask_is_stored_once_for_each(tmp_path: Path) -> None:
    run(tmp_path, Lists("union", keep_own_part=False), 2)
    row = [item for items in written(2) for item in items]
    run(tmp_path, Lists("union", keep_own_part=False), 2, "auto", fail_at=65)
    assert run(tmp_path, Lists("union", keep_own_part=False), 2, "auto", fail_at=90) == dict.fromkeys(range(2), row + row)


@pytest.mark.parametrize(("before", "after"), MORE_RESCALES)
def test_of_a_broadcast_state_new_subtask_i_restores_copy_i_mod_old_parallelism(tmp_path: Path, before: int, after: int) -> None:
    run(tmp_path, Lists("broadcast"), before)
    assert run(tmp_path, Lists("broadcast"), after, "auto") == {subtask: {"from": subtask % before} for subtask in range(after)}


@pytest.mark.parametrize(("before", "after"), [("split", "union"), ("union", "broadcast"), ("broadcast", "split")])
def test_a_mode_that_changed_is_refused_before_a_record_is_processed(tmp_path: Path, before: str, after: str) -> None:
    run(tmp_path, Lists(before), 2)
    with pytest.raises(StateIncompatible, match="State 's' of operator"):
        run(tmp_path, Lists(after), 2, "auto")
    assert Lists.records == []
    assert run(tmp_path, Lists(before), 2, "auto")  # the checkpoint is still there


def test_an_operator_with_list_state_that_the_job_no_longer_has_is_missed(tmp_path: Path) -> None:
    run(tmp_path, Lists("split"), 2)
    numbers = environment(tmp_path, 2, "auto").generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers")
    with pytest.raises(RestoreMismatch, match=r"state of operator .* \(uid 'lists'\), which the job no longer has"):
        list(numbers.rebalance().map(failing_at(40)).uid("another").execute_and_collect("operator state"))


class Totals(KeyedProcessFunction[int, int, Any]):
    """(key, sum of what was added in the last 20 ms before this record, and this one)."""

    def open(self, context: RuntimeContext) -> None:
        ttl = StateTtlConfig(timedelta(milliseconds=20))
        self.total = context.get_reducing_state(ReducingStateDescriptor("total", lambda a, b: a + b, int, ttl=ttl))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.total.add(1)
        out.collect((ctx.get_current_key(), self.total.get()))


@pytest.mark.parametrize(("before", "after"), RESCALES)
@pytest.mark.parametrize("down_ms", [0, 1000])
def test_a_time_to_live_counts_from_the_stored_time_across_a_restore(tmp_path: Path, before: int, after: int, down_ms: int) -> None:
    def totals(parallelism: int, start_ms: int, resume: str | None = None) -> Any:
        env = environment(tmp_path, parallelism, resume, start_ms)
        numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers")
        return (
            numbers.map(failing_at(73) if resume is None else int)
            .key_by(lambda n: n % 5)
            .process(Totals(), uid="totals")
            .execute_and_collect("totals")
        )

    with pytest.raises(JobFailedError, match="power cut"):
        list(totals(before, 1_000_000))
    # The clock of the second run starts when that of the first stopped, at about record 73, and then a second later.
    results = list(totals(after, 1_000_073 + down_ms, "auto"))
    first = {key: next(total for other, total in results if other == key) for key in range(5)}
    assert all(total == 1 for total in first.values()) if down_ms else all(total > 10 for total in first.values())
