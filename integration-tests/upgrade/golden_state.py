"""More jobs whose checkpoints are kept: kinds of state that came after the first ones. As in `golden_jobs`, none is ever changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from golden_jobs import IN_MS, Color, Mean, Order, Place, Point, Price, files, numbers

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    ProcessWindowFunction,
    ReducingStateDescriptor,
    RuntimeContext,
    StateTtlConfig,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    schema_evolution,
)

WITHIN_A_DAY = StateTtlConfig(timedelta(days=1))
SEEN_WITHIN_A_DAY = StateTtlConfig(timedelta(days=1), update_type="on_read_and_write")


def larger(a: Order, b: Order) -> Order:
    return a if a.total > b.total else b


class Range(AggregateFunction[int, Any, str]):
    """Its accumulator is a data class, or None."""

    def create_accumulator(self) -> Any:
        return None

    def add(self, value: int, accumulator: Any) -> Any:
        return Place(str(value), Point(value, value / 2)) if accumulator is None else Place(accumulator.name, Point(value, accumulator.at.y))

    def get_result(self, accumulator: Any) -> str:
        return f"from {accumulator.name} to {accumulator.at.x}"


class Combining(KeyedProcessFunction[str, int, str]):
    """Reducing and aggregating state, typed and by the data codec."""

    def open(self, context: RuntimeContext) -> None:
        self.sum = context.get_reducing_state(ReducingStateDescriptor("sum", lambda a, b: a + b, int))
        self.largest = context.get_reducing_state(ReducingStateDescriptor("largest", larger, Order))
        self.set = context.get_reducing_state(ReducingStateDescriptor[Any]("set", lambda a, b: a | b))
        self.mean = context.get_aggregating_state(AggregatingStateDescriptor("mean", Mean(), tuple[int, int]))
        self.range = context.get_aggregating_state(AggregatingStateDescriptor("range", Range()))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.sum.add(value)
        self.largest.add(Order("shop", value * 7 % 50, [str(value)], Color.RED if value % 2 else None))
        self.set.add(frozenset({value % 6}))
        self.mean.add(value)
        self.range.add(value)
        if value < 98:
            out.collect(f"{value} {self.sum.get()}")
        else:
            out.collect(f"{value} {self.sum.get()} {self.largest.get()} {sorted(self.set.get() or ())} {self.mean.get()} {self.range.get()}")


def combining(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Reducing and aggregating state."""
    numbers(env).key_by(lambda n: "ab"[n % 2], key_type=str).process(Combining(), uid="states").sink_to(files("combined"), uid="files")


class Expiring(KeyedProcessFunction[str, int, str]):
    """Every kind of state with a time to live, typed and by the data codec."""

    def open(self, context: RuntimeContext) -> None:
        self.count = context.get_state(ValueStateDescriptor("count", int, 0, ttl=WITHIN_A_DAY))
        self.place = context.get_state(ValueStateDescriptor[Any]("place", ttl=SEEN_WITHIN_A_DAY))
        self.prices = context.get_list_state(ListStateDescriptor("prices", Price, ttl=WITHIN_A_DAY))
        self.things = context.get_list_state(ListStateDescriptor[Any]("things", ttl=WITHIN_A_DAY))
        self.points = context.get_map_state(MapStateDescriptor("points", str, Point, ttl=SEEN_WITHIN_A_DAY))
        self.places = context.get_map_state(MapStateDescriptor[Any, Any]("places", ttl=WITHIN_A_DAY))
        self.sum = context.get_reducing_state(ReducingStateDescriptor("sum", lambda a, b: a + b, int, ttl=WITHIN_A_DAY))
        self.mean = context.get_aggregating_state(AggregatingStateDescriptor("mean", Mean(), tuple[int, int], ttl=SEEN_WITHIN_A_DAY))
        self.range = context.get_aggregating_state(AggregatingStateDescriptor("range", Range(), ttl=WITHIN_A_DAY))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.count.update((self.count.value() or 0) + 1)
        self.place.update(Place(f"at {value}", Point(value, 0.25)))
        if value % 20 < 2:
            self.prices.add(Price(value, date(2024, 2, 1 + value // 10)))
            self.things.add((value, b"\x01", {"x": None}))
        self.points.put(str(value % 4), Point(value, 1.5))
        self.places.put((value % 4, "mod"), Place("p", Point(value, 2.5)))
        self.sum.add(value)
        self.mean.add(value)
        self.range.add(value)
        if value < 98:
            out.collect(f"{value} {self.count.value()}")
            return
        lists = [list(self.prices.get()), list(self.things.get())]
        maps = [sorted(self.points.items()), sorted(self.places.items())]
        rest = [self.count.value(), self.place.value(), self.sum.get(), self.mean.get(), self.range.get()]
        out.collect(f"{value} {ctx.get_current_key()} {rest} {lists} {maps}")


def expiring(env: StreamExecutionEnvironment, folder: Path) -> None:
    """State with a time to live of a day."""
    numbers(env).key_by(lambda n: "ab"[n % 2], key_type=str).process(Expiring(), uid="states").sink_to(files("expiring"), uid="files")


class Shared(MapFunction[int, list[str]]):
    """Gets every number in every subtask. Has union lists, of which it keeps its part, and broadcast state; typed and by the data codec."""

    def open(self, context: RuntimeContext) -> None:
        self.subtask, self.parallelism = context.subtask, context.parallelism
        self.orders = context.get_union_list_state(ListStateDescriptor("orders", Order))
        self.places = context.get_union_list_state(ListStateDescriptor[Any]("places"))
        self.rules = context.get_broadcast_state(MapStateDescriptor("rules", str, Price))
        self.names = context.get_broadcast_state(MapStateDescriptor[Any, Any]("names"))
        self.orders.update([order for order in self.orders.get() if self.is_mine(order.total)])
        self.places.update([place for place in self.places.get() if self.is_mine(place.at.x)])

    def is_mine(self, number: int) -> bool:
        return number % self.parallelism == self.subtask

    def map(self, value: int) -> list[str]:
        if value % 9 == 0 and self.is_mine(value):
            self.orders.add(Order("a", value, ["x"]))
            self.places.add(Place("b", Point(value, 0.5)))
        self.rules.put(str(value % 3), Price(value, date(2024, 3, 1 + value % 9)))
        self.names.put((value % 3, None), {f"name {value}"})
        if value < 99:
            return [f"{value}"] if self.is_mine(value) else []
        rules, names = sorted(self.rules.items()), sorted(self.names.items())
        told = [f"rules {rules} {names}"] if self.is_mine(0) else []
        return [*told, *(f"order {order}" for order in self.orders.get()), *(f"place {place}" for place in self.places.get())]


def shared(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Union lists and broadcast state."""
    every = env.generate(lambda index: index, count=100, rate_per_s=1000.0, watermark_strategy=IN_MS, uid="numbers").set_parallelism(1)
    every.broadcast().map(Shared(), uid="shared").flat_map(lambda lines: lines, uid="lines").sink_to(files("shared"), uid="files")


@dataclass
class Item:
    """As the first form of the job has it."""

    euros: int
    goods: str


@dataclass
class Note:
    """As the first form of the job has it."""

    text: str
    weight: int
    gone: str


@schema_evolution(version=2, migrations={1: lambda old: LaterItem(old["euros"] * 100, old["goods"])})
@dataclass
class LaterItem:
    """What became of `Item`: euros are cents."""

    cents: int
    article: str

    @property
    def euros(self) -> int:
        return self.cents // 100

    @property
    def goods(self) -> str:
        return self.article


@schema_evolution(renamed={"text": "words"}, removed=["gone"])
@dataclass
class LaterNote:
    """What became of `Note`: one field renamed, one widened, one dropped, one added."""

    words: str
    weight: float
    author: str | None = None

    @property
    def text(self) -> str:
        return self.words


class Evolving(KeyedProcessFunction[str, int, str]):
    """Has typed state of all kinds, in the first form of the classes or in the later one, and says what both have."""

    def __init__(self, later: bool) -> None:
        self.later = later

    def open(self, context: RuntimeContext) -> None:
        item, note = (LaterItem, LaterNote) if self.later else (Item, Note)
        self.item: Any = context.get_state(ValueStateDescriptor[Any]("item", item))
        self.notes: Any = context.get_list_state(ListStateDescriptor[Any]("notes", note))
        self.items: Any = context.get_map_state(MapStateDescriptor[Any, Any]("items", str, list[item]))  # type: ignore[valid-type]
        self.last: Any = context.get_reducing_state(ReducingStateDescriptor[Any]("last", lambda a, b: b, note | None))
        self.kept: Any = context.get_operator_list_state(ListStateDescriptor[Any]("kept", note))
        self.older: Any = context.get_state(ValueStateDescriptor[Any]("older", item, ttl=WITHIN_A_DAY))

    def made(self, value: int) -> Any:
        return LaterItem(value * 100, f"goods {value}") if self.later else Item(value, f"goods {value}")

    def noted(self, value: int) -> Any:
        return LaterNote(f"note {value}", float(value), "me") if self.later else Note(f"note {value}", value, "gone")

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        item, last, older = self.item.value(), self.last.get(), self.older.value()
        if value < 58:
            out.collect(f"{value}")
        elif item is not None:
            out.collect(f"{value} {item.euros} {item.goods} {last.text} {int(last.weight)} {older.euros}")
        self.item.update(self.made(value))
        self.older.update(self.made(value))
        self.last.add(self.noted(value))
        if value % 16 < 2:
            self.notes.add(self.noted(value))
            self.kept.add(self.noted(value))
        self.items.put(str(value % 3), [self.made(value), self.made(value + 1)])
        if value >= 98:
            notes = [(note.text, int(note.weight)) for note in self.notes.get()]
            items = [(key, [(one.euros, one.goods) for one in found]) for key, found in sorted(self.items.items())]
            out.collect(f"{value} {ctx.get_current_key()} {notes} {items}")


def evolving(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Typed state whose classes have changed by the time that it is restored."""
    later = env.settings().job.resume == "auto"
    numbers(env).key_by(lambda n: "ab"[n % 2], key_type=str).process(Evolving(later), uid="states").sink_to(files("evolving"), uid="files")


class Told(ProcessWindowFunction[Any, str, str, Any]):
    def process(self, key: str, context: Any, elements: Any) -> list[str]:
        return [f"{key} {context.window().start} {list(elements)}"]


class Places(ProcessWindowFunction[Place, str, str, Any]):
    def process(self, key: str, context: Any, elements: Any) -> list[str]:
        return [f"{key} {context.window().start} {len(list(elements))} {max(place.at.x for place in elements)}"]


def typed_windows(env: StreamExecutionEnvironment, folder: Path) -> None:
    """Windows and rolling operations whose contents are data classes: some typed, some by the data codec."""
    plain = numbers(env)
    keyed = plain.key_by(lambda n: "ab"[n % 2], key_type=str)
    orders = plain.map(lambda n: Order("shop", n * 7 % 50, [str(n)], Color.BLUE)).key_by(lambda order: "ab"[int(order.lines[0]) % 2], key_type=str)
    places = plain.map(lambda n: Place(str(n), Point(n, 0.5))).key_by(lambda place: "ab"[place.at.x % 2], key_type=str)
    window = TumblingEventTimeWindows.of(timedelta(milliseconds=40))
    reduced = orders.window(window).reduce(larger, Told(), output_type=Order, uid="reduced")
    aggregated = keyed.window(window).aggregate(Range(), Told(), uid="aggregated")
    buffered = places.window(window).allowed_lateness(timedelta(milliseconds=30)).process(Places(), element_type=Place, uid="buffered")
    largest = orders.reduce(larger, output_type=Order, uid="rolling reduced").map(lambda order: f"{order.total} {order.lines}", uid="largest")
    folded = keyed.fold({}, lambda counts, n: {**counts, n % 3: n}, output_type=dict[int, int], uid="folded")
    ranges = keyed.aggregate(Range(), uid="rolling aggregated").filter(lambda text: text.endswith("9"), uid="ranges")
    lines = folded.filter(lambda counts: 97 in counts.values(), uid="folds").map(str, uid="lines")
    reduced.union(aggregated, buffered, largest, ranges, lines).sink_to(files("typed"), uid="files")
