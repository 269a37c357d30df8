"""`RecordBatch.highest` on its way through operators and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import DataStream, ProcessFunction, StreamExecutionEnvironment, WatermarkStrategy
from millstream.records import RecordBatch


class Twice(ProcessFunction[int, int]):
    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        out.collect(value)
        out.collect(value)


def refuse_some(number: int) -> int:
    if number % 4 == 1:
        raise ValueError(number)
    return number


Step = Callable[[DataStream[Any]], DataStream[Any]]

STEPS: dict[str, Step] = {
    "map": lambda s: s.map(refuse_some, on_error="skip"),
    "filter": lambda s: s.filter(lambda n: n % 3 > 0),
    "flat_map": lambda s: s.flat_map(lambda n: [n] * (n % 3)),
    "map_batch": lambda s: s.map_batch(lambda batch: [n + 1 for n in batch]),
    "reduce": lambda s: s.key_by(lambda n: n % 2).reduce(max),
    "process": lambda s: s.process(Twice()),
    "rebalance": lambda s: s.rebalance(),
    "broadcast": lambda s: s.broadcast(),
    "union": lambda s: s.union(s.map(lambda n: -n)),
    "stamp": lambda s: s.assign_timestamps_and_watermarks(
        WatermarkStrategy[int].for_monotonous_timestamps().with_timestamp_assigner(lambda n: -2 * n)
    ),
    "two subtasks": lambda s: s.map(lambda n: n).set_parallelism(2),
}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=5), st.lists(st.integers(-20, 20), max_size=20), st.sampled_from([1, 3, 1000]))
def test_no_timestamp_of_a_batch_is_above_the_highest_that_it_names(steps: list[str], values: list[int], batch_size: int) -> None:
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size).set_parallelism(1)
    strategy = WatermarkStrategy[int].for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    stream: DataStream[Any] = env.from_collection(values, strategy)
    for step in steps:
        stream = STEPS[step](stream)
    named: list[int] = []
    make = RecordBatch.__init__

    def checked(self: RecordBatch[Any], values: list[Any], timestamps: list[int] | None = None, highest: int | None = None) -> None:
        if highest is not None:
            assert timestamps is not None
            assert max(timestamps) <= highest
            named.append(highest)
        make(self, values, timestamps, highest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordBatch, "__init__", checked)
        list(stream.execute_and_collect())
    assert bool(named) == bool(values)
