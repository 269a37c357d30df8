"""Tumbling windows against a model that keeps every record in a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    KeyedProcessFunction,
    OutputTag,
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkGenerator,
    WatermarkStrategy,
)
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP

LATE: OutputTag[Any] = OutputTag("late")
Record = tuple[str, int, int]
"""Key, event time, number."""
Event = Record | int
"""A record, or a watermark."""


class Model:
    """Every window as a dict from key to the list of its records; nothing is clever.

    Attributes:
        results: (key, window start, its numbers so far, watermark in force downstream) in the order of firing.
        late: records of no live window.
    """

    def __init__(self, size: int, offset: int, lateness: int) -> None:
        self.size, self.offset, self.lateness = size, offset, lateness
        self.watermark = MIN_TIMESTAMP
        self.windows: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.results: list[Any] = []
        self.late: list[Record] = []

    def record(self, record: Record) -> None:
        key, time, number = record
        start = time - (time - self.offset) % self.size
        last = start + self.size - 1
        if last + self.lateness <= self.watermark:
            self.late.append(record)
            return
        self.windows[start][key].append(number)
        if last <= self.watermark:
            self.results.append((key, start, list(self.windows[start][key]), self.watermark))

    def rise(self, watermark: int) -> None:
        if watermark <= self.watermark:
            return
        before, self.watermark = self.watermark, watermark
        for start in sorted(self.windows):
            last = start + self.size - 1
            if before < last <= watermark:
                self.results += [(key, start, list(numbers), before) for key, numbers in self.windows[start].items()]
            if last + self.lateness <= watermark:
                del self.windows[start]

    def run(self, events: list[Event]) -> None:
        for event in events:
            self.rise(event) if isinstance(event, int) else self.record(event)
        self.rise(MAX_TIMESTAMP)


class Watermarks(WatermarkGenerator[Event]):
    """Events that are ints are watermarks."""

    def on_event(self, value: Event, timestamp: int, output: Any) -> None:
        if isinstance(value, int):
            output.emit_watermark(value)

    def on_periodic_emit(self, output: Any) -> None:
        pass


def event_time(event: Event) -> int:
    return 0 if isinstance(event, int) else event[1]


class Numbers(AggregateFunction[Record, list[int], list[int]]):
    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: Record, accumulator: list[int]) -> list[int]:
        accumulator.append(value[2])
        return accumulator

    def get_result(self, accumulator: list[int]) -> list[int]:
        return list(accumulator)


class Name(ProcessWindowFunction[Any, Any, str, Any]):
    """Adds key and window to the contents, which are records, or one aggregate."""

    def process(self, key: str, context: Any, elements: Any) -> Iterator[Any]:
        elements = list(elements)
        assert elements
        numbers = elements[0] if isinstance(elements[0], list) else [number for _, _, number in elements]
        yield key, context.window().start, numbers


class Reached(KeyedProcessFunction[int, Any, Any]):
    """Adds the timestamp, and the watermark in force where results arrive."""

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect((*value, ctx.timestamp(), ctx.timer_service().current_watermark()))


KINDS: dict[str, Any] = {
    "process": lambda windows: windows.process(Name()),
    "aggregate": lambda windows: windows.aggregate(Numbers(), Name()),
    "reduce": lambda windows: windows.reduce(lambda a, b: [*(a if isinstance(a, list) else [a[2]]), b[2]], Name()),
}


class Run:
    """The job on the same events."""

    def __init__(
        self, kind: str, events: list[Event], size: int, offset: int, lateness: int, batch_size: int, parallelism: int = 1, side: bool = True
    ) -> None:
        env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size).set_parallelism(parallelism)
        strategy = WatermarkStrategy.for_generator(Watermarks).with_timestamp_assigner(event_time)
        records = env.from_collection(events, strategy).filter(lambda event: not isinstance(event, int)).set_parallelism(1)
        windows: Any = records.key_by(lambda record: record[0]).window(TumblingEventTimeWindows(size, offset))
        windows._lateness_ms = lateness  # whole numbers of ms, as allowed_lateness takes them
        if side:
            windows.side_output_late_data(LATE)
        result = KINDS[kind](windows).name("windows")
        # One subtask behind, which sees each result under the watermark of its sender.
        marked = result.key_by(lambda _: 0).process(Reached()).map(lambda row: ("result", row))
        late = result.get_side_output(LATE).map(lambda record: ("late", record))
        rows = marked.union(late).execute_and_collect() if side else marked.execute_and_collect()
        self.results: list[Any] = []
        self.late: list[Any] = []
        for where, row in rows:
            (self.results if where == "result" else self.late).append(row)
        self.counts = rows.result().counts


RECORDS = st.tuples(st.sampled_from("abc"), st.integers(-40, 60))
EVENTS = st.lists(st.one_of(RECORDS, RECORDS, st.integers(-40, 60)), max_size=40)
SHAPES = st.tuples(st.integers(1, 25), st.integers(-24, 24), st.integers(0, 30)).filter(lambda shape: abs(shape[1]) < shape[0])


def numbered(events: list[Any]) -> list[Event]:
    return [event if isinstance(event, int) else (*event, number) for number, event in enumerate(events)]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None)
@given(drawn=EVENTS, shape=SHAPES, batch_size=st.sampled_from([1, 2, 7, 1000]))
def test_windows_fire_and_refire_as_the_model_does(kind: str, drawn: list[Any], shape: tuple[int, int, int], batch_size: int) -> None:
    """Contents, order of windows, result timestamps, the watermark that results come before, and what is late."""
    events = numbered(drawn)
    model = Model(*shape)
    model.run(events)
    ran = Run(kind, events, *shape, batch_size)
    assert ran.results == [(key, start, numbers, start + shape[0] - 1, watermark) for key, start, numbers, watermark in model.results]
    assert ran.late == model.late


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(drawn=EVENTS, shape=SHAPES, batch_size=st.sampled_from([1, 7, 1000]), parallelism=st.integers(2, 4))
def test_each_key_has_the_same_results_at_any_parallelism(
    kind: str, drawn: list[Any], shape: tuple[int, int, int], batch_size: int, parallelism: int
) -> None:
    events = numbered(drawn)
    model = Model(*shape)
    model.run(events)
    ran = Run(kind, events, *shape, batch_size, parallelism)
    for key in "abc":
        assert [row[:3] for row in ran.results if row[0] == key] == [row[:3] for row in model.results if row[0] == key]
        assert [record for record in ran.late if record[0] == key] == [record for record in model.late if record[0] == key]


@settings(max_examples=30, deadline=None)
@given(drawn=EVENTS, shape=SHAPES, batch_size=st.sampled_from([1, 1000]), parallelism=st.integers(1, 3))
def test_late_records_that_nobody_takes_are_counted(drawn: list[Any], shape: tuple[int, int, int], batch_size: int, parallelism: int) -> None:
    events = numbered(drawn)
    model = Model(*shape)
    model.run(events)
    ran = Run("process", events, *shape, batch_size, parallelism, side=False)
    assert ran.counts["windows.numLateRecordsDropped"] == len(model.late)
    assert sorted(row[:3] for row in ran.results) == sorted(row[:3] for row in model.results)
