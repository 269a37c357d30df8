"""Process functions, state, timers and window functions as their authors write them. Never run: mypy and pyright read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from millstream import (
    Accumulator,
    AggregateFunction,
    AggregatingState,
    AggregatingStateDescriptor,
    BroadcastState,
    Collector,
    DataStream,
    KeyedProcessContext,
    KeyedProcessFunction,
    ListState,
    ListStateDescriptor,
    MapFunction,
    MapState,
    MapStateDescriptor,
    OnTimerContext,
    OutputTag,
    ProcessContext,
    ProcessFunction,
    ProcessWindowFunction,
    ReduceFunction,
    ReducingState,
    ReducingStateDescriptor,
    RuntimeContext,
    StateTtlConfig,
    TimerService,
    TimeWindow,
    TumblingEventTimeWindows,
    ValueState,
    ValueStateDescriptor,
    WatermarkGenerator,
    WatermarkStrategy,
    WindowContext,
    schema_evolution,
)
from millstream.contracts.watermarks import WatermarkOutput

Row = tuple[str, int]


def from_euros(old: Any) -> Price:
    return Price(cents=old["euros"] * 100)


@schema_evolution(version=2, renamed={"goods": "article"}, removed=["note"], migrations={1: from_euros})
@dataclass
class Price:
    cents: int
    article: str = ""


assert_type(Price(5).cents, int)


class Count(KeyedProcessFunction[str, Row, str]):
    count: ValueState[int]
    names: ListState[str]
    totals: MapState[str, float]

    def open(self, context: RuntimeContext) -> None:
        self.count = context.get_state(ValueStateDescriptor("count", int, default=0))
        self.names = context.get_list_state(ListStateDescriptor("names", str))
        self.totals = context.get_map_state(MapStateDescriptor("totals", str, float))
        assert_type(context.get_state(ValueStateDescriptor("count", int)), ValueState[int])
        assert_type(context.get_operator_list_state(ListStateDescriptor("buffer", bytes)), ListState[bytes])
        assert_type(context.get_union_list_state(ListStateDescriptor("offsets", int)), ListState[int])
        assert_type(context.get_broadcast_state(MapStateDescriptor("rules", str, int)), BroadcastState[str, int])
        assert_type(context.accumulator("n", 0, lambda a, b: a + b), Accumulator[int])
        assert_type(context.subtask, int)
        context.metrics.counter("seen").inc()

    def process_element(self, value: Row, ctx: KeyedProcessContext, out: Collector[str]) -> None:
        assert_type(self.count.value(), int | None)
        assert_type(list(self.names.get()), list[str])
        assert_type(self.totals.get("a"), float | None)
        assert_type(list(self.totals.items()), list[tuple[str, float]])
        self.count.update((self.count.value() or 0) + 1)
        assert_type(ctx.timestamp(), int | None)
        assert_type(ctx.timer_service(), TimerService)
        ctx.timer_service().register_event_time_timer((ctx.timestamp() or 0) + 1000)
        out.collect(value[0])

    def on_timer(self, timestamp: int, ctx: OnTimerContext, out: Collector[str]) -> None:
        assert_type(ctx.time_domain(), str)
        out.collect(f"{ctx.get_current_key()} at {timestamp}")


LATE = OutputTag("late", int)


class Split(ProcessFunction[Row, str]):
    """May also be a generator."""

    def process_element(self, value: Row, ctx: ProcessContext, out: Collector[str]) -> Iterator[str]:
        ctx.output(LATE, value[1])
        yield value[0]


class Opened(MapFunction[int, str]):
    def open(self, context: RuntimeContext) -> None:
        self.prefix = context.job_name

    def map(self, value: int) -> str:
        return f"{self.prefix}{value}"

    def close(self) -> None:
        del self.prefix


class Describe(ProcessWindowFunction[Row, str, str, TimeWindow]):
    def process(self, key: str, context: WindowContext[TimeWindow], elements: Iterable[Row]) -> Iterable[str]:
        assert_type(context.window(), TimeWindow)
        assert_type(context.window().start, int)
        yield f"{key}: {sum(n for _, n in elements)} until {context.window().max_timestamp}"


class Total(AggregateFunction[Row, int, float]):
    def create_accumulator(self) -> int:
        return 0

    def add(self, value: Row, accumulator: int) -> int:
        return accumulator + value[1]

    def get_result(self, accumulator: int) -> float:
        return float(accumulator)


class Larger(ReduceFunction[int]):
    def reduce(self, first: int, second: int) -> int:
        return max(first, second)


def add(a: int, b: int) -> int:
    return a + b


class Expiring(KeyedProcessFunction[str, Row, float]):
    most: ReducingState[int]
    total: AggregatingState[Row, float]

    def open(self, context: RuntimeContext) -> None:
        ttl = StateTtlConfig(timedelta(hours=1), "on_read_and_write", state_visibility="return_expired_if_not_cleaned_up", cleanup_incrementally=10)
        self.most = context.get_reducing_state(ReducingStateDescriptor("most", Larger(), ttl=ttl))
        self.total = context.get_aggregating_state(AggregatingStateDescriptor("total", Total(), int, ttl=ttl))
        assert_type(context.get_reducing_state(ReducingStateDescriptor("sum", add, int)), ReducingState[int])
        assert_type(context.get_reducing_state(ReducingStateDescriptor("sum", add)), ReducingState[int])
        assert_type(context.get_reducing_state(ReducingStateDescriptor("most", Larger())), ReducingState[int])
        assert_type(context.get_state(ValueStateDescriptor("last", str, ttl=ttl)), ValueState[str])
        assert_type(context.get_state(ValueStateDescriptor("none", default=0, ttl=ttl)), ValueState[int])
        assert_type(context.get_list_state(ListStateDescriptor("list", str, ttl=ttl)), ListState[str])
        assert_type(context.get_map_state(MapStateDescriptor("map", str, int, ttl=ttl)), MapState[str, int])

    def process_element(self, value: Row, ctx: KeyedProcessContext, out: Collector[float]) -> None:
        self.most.add(value[1])
        self.total.add(value)
        assert_type(self.most.get(), int | None)
        assert_type(self.total.get(), float | None)


class DescribeTotal(ProcessWindowFunction[float, str, str, TimeWindow]):
    def process(self, key: str, context: WindowContext[TimeWindow], elements: Iterable[float]) -> Iterable[str]:
        return [f"{key}: {total}" for total in elements]


class Marks(WatermarkGenerator[Row]):
    def on_event(self, value: Row, timestamp: int, output: WatermarkOutput) -> None:
        output.emit_watermark(timestamp - 1)

    def on_periodic_emit(self, output: WatermarkOutput) -> None:
        pass


def uses(rows: DataStream[Row]) -> None:
    keyed = rows.key_by(lambda row: row[0])
    assert_type(keyed.process(Count(), uid="count"), DataStream[str])
    assert_type(keyed.process(Split()), DataStream[str])
    split = rows.process(Split())
    assert_type(split, DataStream[str])
    assert_type(split.get_side_output(LATE), DataStream[int])
    assert_type(rows.map(lambda row: row[1]).map(Opened()), DataStream[str])
    windows = keyed.window(TumblingEventTimeWindows.of(timedelta(seconds=5)))
    assert_type(windows.process(Describe(), uid="w"), DataStream[str])
    assert_type(windows.aggregate(Total(), DescribeTotal(), uid="w"), DataStream[str])
    assert_type(windows.reduce(lambda a, b: a, Describe(), uid="w"), DataStream[str])
    strategy: WatermarkStrategy[Row] = WatermarkStrategy.for_generator(Marks).with_timestamp_assigner(lambda row: row[1])
    assert_type(rows.assign_timestamps_and_watermarks(strategy.with_idleness(timedelta(seconds=1))), DataStream[Row])
