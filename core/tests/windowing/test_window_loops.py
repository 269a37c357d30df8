"""The loops of windows against each other: a batch goes through one or another, and nobody can tell which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import AggregateFunction, OutputTag, ProcessWindowFunction, TumblingEventTimeWindows
from millstream.records import MAX_TIMESTAMP, RecordBatch
from millstream.runtime.operators.window import WindowOperator
from millstream.runtime.snapshot import TaskSnapshot
from millstream.testing import OperatorHarness

SIZE_MS = 10
LATE: OutputTag[Any] = OutputTag("late")

Record = tuple[str, int, int]
"""Key, event time, number."""


class Refused(Exception):
    """What the functions below raise on some numbers."""


def picky(number: int) -> None:
    if number % 5 == 3:
        raise Refused(f"{number} is too many")


class Numbers(AggregateFunction[Record, tuple[int, ...], tuple[int, ...]]):
    def create_accumulator(self) -> tuple[int, ...]:
        return ()

    def add(self, value: Record, accumulator: tuple[int, ...]) -> tuple[int, ...]:
        picky(value[2])
        return (*accumulator, value[2])

    def get_result(self, accumulator: tuple[int, ...]) -> tuple[int, ...]:
        return accumulator


class Listed(ProcessWindowFunction[Any, Any, str, Any]):
    def process(self, key: str, context: Any, elements: Any) -> list[Any]:
        return [(key, list(elements))]


def lower(a: Record, b: Record) -> Record:
    picky(b[2])
    return b if b[2] < a[2] else a


def choosy(record: Record) -> str:
    return record[0]


KINDS: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda windows: windows.reduce(lower, on_error="skip"),
    "aggregate": lambda windows: windows.aggregate(Numbers(), on_error="skip"),
    "process": lambda windows: windows.process(Listed(), on_error="skip"),
}


def harness(kind: str, lateness_ms: int, restore: tuple[bytes, ...] = ()) -> OperatorHarness:
    def add(stream: Any) -> Any:
        windows = stream.key_by(choosy).window(TumblingEventTimeWindows(SIZE_MS)).side_output_late_data(LATE)
        windows._lateness_ms = lateness_ms
        return KINDS[kind](windows)

    return OperatorHarness(add, restore=restore)


def feed(into: OperatorHarness, records: list[Record], batch_size: int, bound: bool = False) -> None:
    """`bound`: says with each batch what none of its timestamps is above."""
    for start in range(0, len(records), batch_size):
        part = records[start : start + batch_size]
        times = [time for _, time, _ in part]
        into.operator.process_batch(RecordBatch(list(part), times, max(times) + len(part) % 3 if bound else None))


RECORDS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-15, 35), st.integers(0, 20)), max_size=30)
PARTS = st.lists(st.tuples(RECORDS, st.integers(-20, 45)), max_size=4)
"""Records, and the watermark behind them."""


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(parts=PARTS, lateness_ms=st.sampled_from([0, 7]), batch_size=st.sampled_from([2, 3, 1000]), bound=st.booleans())
def test_whichever_loop_a_batch_goes_through_shows_what_single_records_show(
    kind: str, parts: list[tuple[list[Record], int]], lateness_ms: int, batch_size: int, bound: bool
) -> None:
    batches, single = harness(kind, lateness_ms), harness(kind, lateness_ms)
    for records, watermark in parts:
        feed(batches, records, batch_size, bound)
        feed(single, records, 1)
        for each in (batches, single):
            each.watermark(watermark)
    for each in (batches, single):
        each.watermark(MAX_TIMESTAMP)
    assert batches.records == single.records
    assert batches.side(LATE) == single.side(LATE)
    assert batches.counts() == single.counts()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(before=RECORDS, after=RECORDS, batch_size=st.sampled_from([1, 2, 1000]))
def test_a_pending_snapshot_holds_what_there_was_at_its_barrier_whichever_loop_runs_meanwhile(
    kind: str, before: list[Record], after: list[Record], batch_size: int
) -> None:
    expected, running = harness(kind, 0), harness(kind, 0)
    feed(expected, before, 1)
    feed(running, before, batch_size)
    advance = TaskSnapshot.advance

    def late_advance(self: TaskSnapshot, until_s: float) -> bool:
        feed(running, after, batch_size)
        return advance(self, until_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskSnapshot, "advance", late_advance)
        saved = running.snapshot()
    restored = harness(kind, 0, (saved,))
    for each in (expected, restored):
        each.watermark(MAX_TIMESTAMP)
    assert sorted(restored.records) == sorted(expected.records)


def test_each_loop_runs_where_it_should() -> None:
    """What the others compare would be the same loop otherwise."""
    ran: list[str] = []
    windows = harness("reduce", 0)
    operator = windows.operator
    assert isinstance(operator, WindowOperator)

    def noted(name: str) -> Callable[..., None]:
        run: Callable[..., None] = getattr(operator._loops, name)
        return lambda *arguments: (ran.append(name), run(*arguments))[1]

    operator._loops = replace(operator._loops, **{name: noted(name) for name in ("any_batch", "in_one_window", "in_new_window")})
    feed(windows, [("a", 1, 0), ("b", 2, 0)], 2)
    feed(windows, [("a", 3, 0), ("b", 4, 0)], 2)
    feed(windows, [("a", 5, 0), ("b", 9, 0)], 2)
    feed(windows, [("a", 5, 0), ("b", 10, 0)], 2)
    feed(windows, [("a", 10, 0), ("b", 9, 0), ("a", 11, 0)], 3)
    windows.watermark(9)
    feed(windows, [("a", 9, 0)], 1)
    feed(windows, [("a", 12, 0)], 1)
    assert ran == ["in_new_window", "in_new_window", "in_one_window", "any_batch", "any_batch", "any_batch", "in_new_window"]
