"""The first jobs whose checkpoints are kept. A job here is never changed: it stands for the program of somebody who upgrades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from millstream import (
    AggregateFunction,
    DeadLetterRecord,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapStateDescriptor,
    OutputTag,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
    dead_letter,
)
from millstream_filesystem import FileSink, FileSource
from millstream_testkit.ledger import SqliteLedgerSink

ROOT: Final = "/golden"
"""What checkpoints call the folder that they were made in, wherever it is."""


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Order:
    """State with a declared type."""

    shop: str
    total: int
    lines: list[str]
    color: Color | None = None


class Price(msgspec.Struct):
    cents: int
    day: date


class Point(NamedTuple):
    x: int
    y: float


@dataclass(frozen=True)
class Place:
    """State of the data codec, which finds its class by name."""

    name: str
    at: Point


class KeyedState(KeyedProcessFunction[str, int, str]):
    """Uses every kind of state, and emits all of it with every record from 58 on: the checkpoint holds what there was at 60 or so."""

    def open(self, context: RuntimeContext) -> None:
        self.order = context.get_state(ValueStateDescriptor("order", Order))
        self.place = context.get_state(ValueStateDescriptor[Any]("place"))
        self.prices = context.get_list_state(ListStateDescriptor("prices", Price))
        self.things = context.get_list_state(ListStateDescriptor[Any]("things"))
        self.points = context.get_map_state(MapStateDescriptor("points", str, Point))
        self.counts = context.get_map_state(MapStateDescriptor[Any, Any]("counts"))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        key = ctx.get_current_key()
        order = self.order.value()
        if order is None:
            # Both come after the restore, and before the end.
            ctx.timer_service().register_event_time_timer(80)
            ctx.timer_service().register_processing_time_timer(ctx.timer_service().current_processing_time() + 75)
            order = Order(key, 0, [])
        self.order.update(Order(key, order.total + value, [*order.lines, str(value)][-2:], list(Color)[value % 2] if value % 3 else None))
        self.place.update(Place(f"{key}{value}", Point(value, value / 4)))
        if value % 7 == 0:
            self.prices.add(Price(value, date(2024, 1, 1 + value % 28)))
            self.things.add((value, {value, "x"}, b"\x00"))
        self.points.put(str(value % 3), Point(value, 0.5))
        self.counts.put((value % 2, "parity"), value)
        if value < 58:
            out.collect(f"{value} {key}")
            return
        state = [self.order.value(), self.place.value(), list(self.prices.get()), dict(sorted(self.points.items()))]
        out.collect(f"{value} {key} {state} {[(a, sorted(map(str, b)), c) for a, b, c in self.things.get()]} {sorted(self.counts.items())}")

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        if ctx.time_domain() == "event":
            out.collect(f"event timer {timestamp} {ctx.get_current_key()}")
        else:
            out.collect(f"processing timer {timestamp} {ctx.get_current_key()}")


class Mean(AggregateFunction[int, tuple[int, int], float]):
    def create_accumulator(self) -> tuple[int, int]:
        return (0, 0)

    def add(self, value: int, accumulator: tuple[int, int]) -> tuple[int, int]:
        return (accumulator[0] + value, accumulator[1] + 1)

    def get_result(self, accumulator: tuple[int, int]) -> float:
        return accumulator[0] / accumulator[1]


class All(ProcessWindowFunction[int, str, int, Any]):
    def process(self, key: int, context: Any, elements: Any) -> list[str]:
        return [f"all {key} {context.window().start} {sorted(elements)}"]


IN_MS: WatermarkStrategy[Any] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=3)).with_timestamp_assigner(lambda n: n)


def files(name: str) -> FileSink[Any]:
    """Lines of text in a folder of their own, exactly once."""
    return FileSink(f"{ROOT}/output/{name}", delivery="exactly_once")


def numbers(env: StreamExecutionEnvironment) -> Any:
    """0 to 99, one each ms."""
    return env.generate(lambda index: index, count=100, rate_per_s=1000.0, watermark_strategy=IN_MS, uid="numbers")


def keyed_state(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Value, list and map state, typed and by the data codec; timers of both kinds; splits of a generator."""
    keyed = numbers(env).key_by(lambda n: "abcde"[n % 5], key_type=str)
    keyed.process(KeyedState(), uid="states").sink_to(files("states"), uid="files")


class Remember(KeyedProcessFunction[int, int, str]):
    """Operator lists, typed and by the data codec."""

    def open(self, context: RuntimeContext) -> None:
        self.orders = context.get_operator_list_state(ListStateDescriptor("orders", Order))
        self.places = context.get_operator_list_state(ListStateDescriptor[Any]("places"))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        if value % 20 == 1:
            self.orders.add(Order("a", value, [], Color.BLUE))
            self.places.add(Place("b", Point(value, 0.0)))
        out.collect(f"{value} {list(self.orders.get())} {list(self.places.get())}" if value > 96 else str(value))


def operator_lists(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Operator list state."""
    remembered = numbers(env).key_by(lambda n: n % 2, key_type=int)
    remembered.process(Remember(), uid="lists").sink_to(files("lists"), uid="files")


def windows(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Open windows of the three kinds, with late records, and rolling results; typed and by the data codec."""
    keyed = numbers(env).map(lambda n: n - 9 if n % 10 == 9 else n).key_by(lambda n: n % 3, key_type=int)
    window, late = TumblingEventTimeWindows.of(timedelta(milliseconds=40)), OutputTag[int]("late")
    keyed.window(window).reduce(max, output_type=int, uid="reduced").map(lambda n: f"reduced {n}").sink_to(files("reduced"), uid="reduced files")
    aggregated = keyed.window(window).allowed_lateness(timedelta(milliseconds=5)).side_output_late_data(late)
    aggregated.aggregate(Mean(), uid="aggregated").map(lambda mean: f"mean {mean}").sink_to(files("aggregated"), uid="aggregated files")
    keyed.window(window).process(All(), uid="buffered").sink_to(files("buffered"), uid="buffered files")
    keyed.sum(uid="rolling").map(lambda n: f"sum {n}").sink_to(files("rolling"), uid="rolling files")


def parsed(line: str) -> int:
    return int(line.partition(" ")[0])


def file_to_file(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Positions in files, files that nobody reads yet, dead letters, and files that are prepared and not committed."""
    lines = env.from_source(FileSource(f"{ROOT}/input", records_per_second=1000.0), watermark_strategy=WatermarkStrategy.no_watermarks(), uid="lines")
    letters = FileSink[DeadLetterRecord](f"{ROOT}/output/letters", format="json", delivery="exactly_once")
    lines.map(parsed, on_error=dead_letter(letters, uid="letters"), uid="parsed").map(str).sink_to(files("numbers"), uid="files")


def watched_folder(env: StreamExecutionEnvironment, folder: Path) -> None:
    """A folder that is watched: every file ever found."""
    source = FileSource[str](f"{ROOT}/input", monitor_interval=timedelta(seconds=1), records_per_second=1000.0)
    lines = env.from_source(source, watermark_strategy=WatermarkStrategy.no_watermarks(), uid="lines")
    lines.map(lambda line: f"line {line}").sink_to(files("lines"), uid="files")


def ledger(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Records that wait in the logs of a write-ahead sink, and markers at its target."""
    rows = numbers(env).key_by(lambda n: n % 5, key_type=int).sum(uid="sums").map(lambda n: (n, f"sum {n}"))
    rows.sink_to(SqliteLedgerSink(folder / "ledger.db", "sums", ("n", "text"), max_commit_records=4), uid="ledger")


def input_files() -> dict[str, str]:
    """Three files of numbers, with lines that are none."""
    return {
        f"{name}.txt": "".join(f"no number of {name}\n" if n % 25 in (7, 24) else f"{n} of {name}\n" for n in range(start, start + 60))
        for start, name in ((0, "a"), (100, "b"), (200, "c"))
    }
