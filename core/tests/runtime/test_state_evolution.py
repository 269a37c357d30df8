"""State that one form of a job wrote, restored by the next: each change is accepted, with the values that a function then sees, or refused
before the source was asked for a record."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, defstruct

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapStateDescriptor,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
    schema_evolution,
)
from millstream.errors import JobFailedError, RestoreMismatch, StateIncompatible
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.state.serializers import TypedSerializer

JOB = "evolving"


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


class Keep(KeyedProcessFunction[int, int, Any]):
    """Stores something for each key, or emits what is stored.

    Args:
        kind: of the state.
        declared: type of the value (the elements, the map's values).
        stores: what to store, by key; None to emit what there is.
    """

    def __init__(self, kind: str, declared: Any, stores: list[Any] | None) -> None:
        self.kind = kind
        self._declared = lambda: declared  # a function object is copied for each subtask, and limits cannot be
        self.stores = stores

    def open(self, context: RuntimeContext) -> None:
        declared = self._declared()
        if self.kind == "value":
            value = context.get_state(ValueStateDescriptor("kept", declared))
            self.put, self.get = value.update, value.value
        elif self.kind == "list":
            elements = context.get_list_state(ListStateDescriptor("kept", declared))
            self.put, self.get = elements.update, lambda: list(elements.get())
        elif self.kind == "map":
            keys, values = declared if isinstance(declared, tuple) else (str, declared)
            entries = context.get_map_state(MapStateDescriptor("kept", keys, values))
            self.put, self.get = entries.put_all, lambda: dict(entries.items())
        else:
            items = context.get_operator_list_state(ListStateDescriptor("kept", declared))
            self.put, self.get = lambda value: items.update([value]), lambda: next(iter(items.get()))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        if self.stores is None:
            out.collect((value, self.get()))
        else:
            self.put(self.stores[value])


MS: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)


class Run:
    """One run of the job over numbers 0 to 59, one each ms of virtual time, with a checkpoint every 10 ms.

    Attributes:
        asked: the numbers that the source was asked for.
        rows: what came out.
    """

    def __init__(self, folder: Path, kind: str, declared: Any, stores: list[Any] | None, keys: int, parallelism: int = 1, key: Any = None) -> None:
        self.asked: list[int] = []
        self.rows: list[Any] = []
        self._folder = folder
        self._kind = kind
        self._declared = declared
        self._stores = stores
        self._keys = keys
        self._parallelism = parallelism
        self._key = key or (lambda value: value, int)

    def until(self, fail_at: int | None) -> None:
        """Runs until it fails at a number, or to its end."""
        ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
        env = StreamExecutionEnvironment(ports=ports).set_parallelism(self._parallelism)
        env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(RestartStrategies.no_restart())
        env.checkpoint_config.set_checkpoint_storage(self._folder)
        env.configure("job.resume", "auto")

        def number(index: int) -> int:
            self.asked.append(index)
            return index

        def failing(index: int) -> int:
            if index == fail_at:
                raise ValueError("power cut")
            return index % self._keys

        stream = env.generate(number, count=60, rate_per_s=1000.0, watermark_strategy=MS, uid="numbers").map(failing)
        self.rows.clear()
        for row in self._kept(stream).execute_and_collect(JOB):
            self.rows.append(row)

    def crash(self, at: int) -> None:
        """Runs until the power cut."""
        with pytest.raises(JobFailedError, match="power cut"):
            self.until(at)

    def _kept(self, stream: Any) -> Any:
        if self._kind not in ("rolling", "window"):
            selector, key_type = self._key
            return stream.key_by(selector, key_type=key_type).process(Keep(self._kind, self._declared, self._stores), uid="keep")
        stores = self._stores
        keyed = stream.map(lambda key: (key, stores and stores[key])).key_by(lambda pair: pair[0], key_type=int)
        windowed = keyed.window(TumblingEventTimeWindows.of(timedelta(seconds=1))) if self._kind == "window" else keyed
        # What is kept stays, whatever comes: what comes out is what was restored.
        return windowed.reduce(lambda kept, _: kept, output_type=tuple[int, self._declared], uid="keep")  # type: ignore[name-defined]


def described(folder: Path) -> Any:
    """How the newest checkpoint says that the values were written."""
    newest = max(folder.rglob("_metadata"), key=lambda path: int(path.parent.name.removeprefix("chk-")))
    manifest = json.loads(newest.read_bytes().partition(b"\n")[2])
    (keep,) = [operator for task in manifest["tasks"] for operator in task["operators"] if operator["uid"] == "keep"]
    tables = {name: table["values"] for name, table in keep["tables"].items() if not name.startswith("@timers")}
    tables.update({name: items["description"] for name, items in keep["lists"].items()})
    (values,) = tables.values()
    return values


# --- the forms of the classes; what they are called does not matter


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class MoreColors(enum.Enum):
    RED = "r"
    BLUE = "b"
    GREEN = "g"


class Point(NamedTuple):
    x: int
    y: int


class Point3(NamedTuple):
    x: int
    y: int
    z: int = 7


class Flipped(NamedTuple):
    y: int
    x: int


@schema_evolution(renamed={"x": "left"})
class PointRenamed(NamedTuple):
    left: float
    y: int


class Entry(TypedDict):
    name: str
    count: NotRequired[int]


class FullEntry(TypedDict):
    name: str
    count: int


class LongerEntry(TypedDict):
    name: str
    count: NotRequired[int]
    note: NotRequired[str]


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class FloatNode(msgspec.Struct):
    value: float
    next: FloatNode | None = None
    note: str = ""


class StrNode(msgspec.Struct):
    value: str
    next: StrNode | None = None


def data(name: str, *fields: Any, **options: Any) -> Any:
    """A dataclass, with real types rather than names of types for annotations."""
    return make_dataclass(name, fields, **options)


Order = data("Order", ("shop", str), ("total", int))
Noted = data("Noted", ("shop", str), ("total", int), ("note", str, "none"))
Required = data("Required", ("shop", str), ("total", int), ("note", str))
Shop = data("Shop", ("shop", str))
Reordered = data("Reordered", ("total", int), ("shop", str))
FloatOrder = data("FloatOrder", ("shop", str), ("total", float))
TextOrder = data("TextOrder", ("shop", str), ("total", str))
MaybeOrder = data("MaybeOrder", ("shop", str | None), ("total", int | str))
Sum = data("Sum", ("shop", str), ("sum", int, 0))
Renamed = schema_evolution(renamed={"total": "sum"})(data("Renamed", ("shop", str), ("sum", float)))
Replaced = schema_evolution(removed=["total"])(data("Replaced", ("shop", str), ("sum", int, 5)))
Tagged = data("Tagged", ("shop", str), ("tags", list[str], field(default_factory=list)))
InCents = schema_evolution(version=2, migrations={1: lambda old: InCents(old["shop"], old["total"] * 100)})(
    data("InCents", ("shop", str), ("cents", int))
)
InMills = schema_evolution(
    version=3, migrations={1: lambda old: InMills(old["shop"], old["total"] * 1000), 2: lambda old: InMills(old["shop"], old["cents"] * 10)}
)(data("InMills", ("shop", str), ("mills", int)))
Failing = schema_evolution(version=2, migrations={1: lambda old: 1 // 0})(data("Failing", ("shop", str)))
Wrong = schema_evolution(version=2, migrations={1: lambda old: old})(data("Wrong", ("shop", str)))
WrongInside = schema_evolution(version=2, migrations={1: lambda old: WrongInside(5)})(data("WrongInside", ("shop", str)))
Counted = schema_evolution(version=2, migrations={1: lambda old: Counted(old)})(data("Counted", ("n", int)))

Line = data("Line", ("item", str), ("price", int))
FloatLine = schema_evolution(renamed={"item": "article"})(data("FloatLine", ("article", str), ("price", float), ("pieces", int, 1)))
TextLine = data("TextLine", ("item", str), ("price", str))
Bill = data("Bill", ("lines", list[Line]), ("by_name", dict[str, Line]), ("first", tuple[int, Line]), ("gift", Line | None, None))
FloatBill = data(
    "FloatBill", ("lines", list[FloatLine]), ("by_name", dict[str, FloatLine]), ("first", tuple[int, FloatLine]), ("gift", FloatLine | None, None)
)
TextBill = data("TextBill", ("lines", list[TextLine]), ("by_name", dict[str, Line]), ("first", tuple[int, Line]), ("gift", Line | None, None))

Rich = data("Rich", ("when", datetime), ("day", date), ("span", timedelta), ("price", Decimal), ("id", UUID), ("raw", bytes), ("some", set[int]))
RICH = Rich(datetime(2024, 1, 2, tzinfo=UTC), date(2024, 1, 2), timedelta(1), Decimal("1.5"), UUID(int=3), b"x", {1, 2})
Seen = schema_evolution(version=2, migrations={1: lambda old: Seen(sorted(f"{k}={type(v).__name__}" for k, v in old.items()))})(
    data("Seen", ("kinds", list[str]))
)

Short = defstruct("Short", [("a", int, 1), ("b", list[int], msgspec.field(default_factory=list))], omit_defaults=True)
OtherDefault = defstruct("OtherDefault", [("a", int, 2), ("b", list[int], msgspec.field(default_factory=list))], omit_defaults=True)
NoDefault = defstruct("NoDefault", [("a", int), ("b", list[int])])
Strict = defstruct("Strict", [("a", int, 2)], omit_defaults=True, forbid_unknown_fields=True)
Row = defstruct("Row", [("a", int), ("b", str)], array_like=True)
LongRow = defstruct("LongRow", [("b", str), ("c", float, 0.5), ("a", int, 0)], array_like=True)
Plain = defstruct("Plain", [("a", int), ("b", str)])
Cat = defstruct("Cat", [("lives", int)], tag="cat")
Dog = defstruct("Dog", [("name", str)], tag="dog")
Lion = defstruct("Lion", [("lives", float), ("roars", bool, True)], tag="cat")
Untagged = defstruct("Untagged", [("lives", int)])
Spot = data("Spot", ("x", int), frozen=True)
Spot2 = data("Spot2", ("x", int), ("y", int, 0), frozen=True)


@dataclass
class Coded:
    """Written by the data codec, which has to find it in this module."""

    shop: str
    total: int


class Case(NamedTuple):
    """A change of type.

    Attributes:
        what: for the id of the test.
        old: type that the first run declares.
        stored: one value, or several in a list subclass.
        new: type that the second run declares.
        expected: what the second run finds; or None.
        refused: what the message of the refusal says.
        kind: of the state.
    """

    what: str
    old: Any
    stored: Any
    new: Any
    expected: Any = None
    refused: tuple[str, ...] = ()
    kind: str = "value"


ACCEPTED = [
    Case("field added", Order, Order("a", 3), Noted, Noted("a", 3, "none")),
    Case("field removed", Noted, Noted("a", 3, "x"), Order, Order("a", 3)),
    Case("added and removed, of types that cannot be a rename", Order, Order("a", 3), Tagged, Tagged("a", [])),
    Case("class renamed, fields in another order", Order, Order("a", 3), Reordered, Reordered(3, "a")),
    Case("field renamed and widened", Order, Order("a", 3), Renamed, Renamed("a", 3.0)),
    Case("field replaced", Order, Order("a", 3), Replaced, Replaced("a", 5)),
    Case("int to float in a field", Order, Order("a", 3), FloatOrder, FloatOrder("a", 3.0)),
    Case("to Optional and to a union", Order, Order("a", 3), MaybeOrder, MaybeOrder("a", 3)),
    Case("int to float", int, 3, float, 3.0),
    Case("int to Decimal", int, 3, Decimal, Decimal(3)),
    Case("int to Optional float", int, 3, float | None, 3.0),
    Case("None stays", int | None, None, float | None, None),
    Case("union to a wider union", int | str, "x", float | str | None, "x"),
    Case("union, the member that changes", int | str, 4, float | str | None, 4.0),
    Case("literal gains a value", Literal["a", "b"], "a", Literal["a", "b", "c"], "a"),
    Case("literal to str", Literal["a", "b"], "a", str, "a"),
    Case("enum gains a member", Color, Color.BLUE, MoreColors, MoreColors.BLUE),
    Case("limit widened", Annotated[int, Meta(ge=0, le=9)], 5, Annotated[int, Meta(ge=-1)], 5),
    Case("list to tuple of any length", list[int], [1, 2], tuple[float, ...], (1.0, 2.0)),
    Case("pair to tuple of any length", tuple[int, int], (1, 2), tuple[int, ...], (1, 2)),
    Case("set to frozenset", set[int], {1, 2}, frozenset[float], frozenset({1.0, 2.0})),
    Case("values of a dict", dict[str, int], {"a": 1}, dict[str, float | None], {"a": 1.0}),
    Case("keys of a dict, where the enum gained", dict[Color, int], {Color.RED: 1}, dict[MoreColors, int], {MoreColors.RED: 1}),
    Case("objects as keys of a dict", dict[Spot, int], {Spot(1): 2}, dict[Spot, float], {Spot(1): 2.0}),
    Case(
        "objects as keys of a list of dicts",
        list[dict[Spot, Order]],
        [{Spot(1): Order("a", 2)}],
        list[dict[Spot, FloatOrder]],
        [{Spot(1): FloatOrder("a", 2.0)}],
    ),
    Case(
        "nested in list, dict, tuple and Optional",
        Bill,
        Bill([Line("x", 1)], {"n": Line("y", 2)}, (1, Line("z", 3)), Line("g", 4)),
        FloatBill,
        FloatBill([FloatLine("x", 1.0)], {"n": FloatLine("y", 2.0)}, (1, FloatLine("z", 3.0)), FloatLine("g", 4.0)),
    ),
    Case("recursive", Node, Node(1, Node(2)), FloatNode, FloatNode(1.0, FloatNode(2.0))),
    Case("NamedTuple gains a field", Point, Point(1, 2), Point3, Point3(1, 2, 7)),
    Case("NamedTuple in another order", Point, Point(1, 2), Flipped, Flipped(2, 1)),
    Case("NamedTuple renames and widens", Point, Point(1, 2), PointRenamed, PointRenamed(1.0, 2)),
    Case("TypedDict gains a field that may be missing", Entry, {"name": "a"}, LongerEntry, {"name": "a"}),
    Case("TypedDict, where the field is there", Entry, {"name": "a", "count": 2}, LongerEntry, {"name": "a", "count": 2}),
    Case("omitted default changes", Short, Short(), OtherDefault, OtherDefault(1, [])),
    Case("omitted default becomes a required field", Short, Short(), NoDefault, NoDefault(1, [])),
    Case("field of a strict Struct removed", Short, Short(5, [6]), Strict, Strict(5)),
    Case("array Struct, new field in the middle", Row, Row(1, "b"), LongRow, LongRow("b", 0.5, 1)),
    Case("array Struct to Struct", Row, Row(1, "b"), Plain, Plain(1, "b")),
    Case("tagged union gains a member", Cat, Cat(9), Cat | Dog, Cat(9)),
    Case("member of a tagged union changes", Cat | Dog, Cat(9), Lion | Dog, Lion(9.0, True)),
    Case("the other member does not", Cat | Dog, Dog("Rex"), Lion | Dog, Dog("Rex")),
    Case("tag dropped", Cat, Cat(9), Untagged, Untagged(9)),
    Case("migration", Order, Order("a", 3), InCents, InCents("a", 300)),
    Case("migration from the second version", InCents, InCents("a", 300), InMills, InMills("a", 3000)),
    Case("migration over two versions", Order, Order("a", 3), InMills, InMills("a", 3000)),
    Case("migration inside a list and an Optional", list[Order | None], [Order("a", 3), None], list[InCents | None], [InCents("a", 300), None]),
    Case("migration of a plain type", int, 3, Counted, Counted(3)),
    Case(
        "migration sees the values as they were",
        Rich,
        RICH,
        Seen,
        Seen(["day=date", "id=UUID", "price=Decimal", "raw=bytes", "some=set", "span=timedelta", "when=datetime"]),
    ),
    Case("elements of a list state", Order, [Order("a", 3)], Renamed, [Renamed("a", 3.0)], kind="list"),
    Case("values of a map state", Order, {"k": Order("a", 3)}, InCents, {"k": InCents("a", 300)}, kind="map"),
    Case("objects as keys of a map state", (Spot, Order), {Spot(1): Order("a", 3)}, (Spot, Renamed), {Spot(1): Renamed("a", 3.0)}, kind="map"),
    Case("items of an operator list", Order, Order("a", 3), Renamed, Renamed("a", 3.0), kind="operator list"),
    Case("a rolling result", Order, Order("a", 3), Renamed, Renamed("a", 3.0), kind="rolling"),
    Case("contents of a window", Order, Order("a", 3), Renamed, Renamed("a", 3.0), kind="window"),
    Case("data codec to typed", None, Coded("a", 3), Coded, Coded("a", 3)),
    Case("data codec to typed, plain data", None, {"a": [1, 2]}, dict[str, list[int]], {"a": [1, 2]}),
]

REFUSED = [
    Case("new field without a default", Order, Order("a", 3), Required, refused=("field 'note'", "is new and has no default", "Give it one")),
    Case(
        "rename that nobody declared",
        Order,
        Order("a", 3),
        Sum,
        refused=("field 'total'", "is gone and field 'sum' is new", "renamed={'total': 'sum'}", "removed=['total']"),
    ),
    Case("field of another type", Order, Order("a", 3), TextOrder, refused=("field 'total'", "was int and is str now", "migrations={1: ...}")),
    Case("another type", int, 3, str, refused=("was int and is str now", "values of type int (typed)", "values of type str (typed)")),
    Case("float to int", float, 3.0, int, refused=("was float and is int now",)),
    Case("bool to int", bool, True, int, refused=("was bool and is int now",)),
    Case("None no longer allowed", int | None, 3, int, refused=("could be None and cannot any more", "Allow None again")),
    Case("member of a union gone", int | str, 3, str | None, refused=("was int and is",)),
    Case("enum loses a member", MoreColors, MoreColors.RED, Color, refused=("has no 'g' any more", "Bring the value back")),
    Case("literal loses a value", Literal["a", "b"], "a", Literal["a"], refused=("has no 'b' any more",)),
    Case("str to literal", str, "a", Literal["a"], refused=("was str and is literal of 'a' now",)),
    Case("new limit", int, 3, Annotated[int, Meta(ge=0)], refused=("has the limit ge=0 now",)),
    Case("new limit of a list", list[int], [3], Annotated[list[int], Meta(max_length=5)], refused=("has the limit max_length=5 now",)),
    Case("an int that no float equals", int, 2**53 + 1, float, refused=("the value 9007199254740993", "has no equal float")),
    Case("list to set", list[int], [1], set[int], refused=("was list of int and is set of int now",)),
    Case("items of a list", list[int], [1], list[str], refused=("the items of", "was int and is str now")),
    Case("tuple of another length", tuple[int, int], (1, 2), tuple[int, int, int], refused=("had 2 items and has 3 now",)),
    Case("keys of a dict", dict[int, int], {1: 2}, dict[float, int], refused=("the keys of", "were int and are float now")),
    Case("objects that are keys gain a field", dict[Spot, int], {Spot(1): 2}, dict[Spot2, int], refused=("the keys of", "Keep the type of the keys")),
    Case(
        "deep inside",
        Bill,
        Bill([], {}, (1, Line("z", 3))),
        TextBill,
        refused=("field 'price' of the items of field 'lines' of", "was int and is str now"),
    ),
    Case("recursive", Node, Node(1, Node(2)), StrNode, refused=("field 'value' of", "was int and is str now")),
    Case(
        "field that may be missing is required",
        Entry,
        {"name": "a", "count": 1},
        FullEntry,
        refused=("field 'count'", "may be missing in stored values"),
    ),
    Case("list of anything to list of int", list, [3], list[int], refused=("was any and is int now",)),
    Case("object to anything", list[Order], [Order("a", 3)], list, refused=("may be anything now",)),
    Case("class to dict", Order, Order("a", 3), dict[str, int], refused=("was object with shop, total and is dict[str, int] now",)),
    Case("tag added", Untagged, Untagged(9), Cat, refused=("had no tag and has 'cat' now", "Pin it with tag=")),
    Case("tag changed", Dog, Dog("Rex"), Cat, refused=("had the tag 'dog' and has 'cat' now",)),
    Case("later version", InCents, InCents("a", 300), Order, refused=("was written by version 2", "declares version 1", "later release of the job")),
    Case("migration that fails", Order, Order("a", 3), Failing, refused=("ZeroDivisionError", "the value {'shop': 'a', 'total': 3}")),
    Case("migration that returns something else", Order, Order("a", 3), Wrong, refused=("from version 1 returned {'shop': 'a', 'total': 3}",)),
    Case("migration whose result is not of its type", Order, Order("a", 3), WrongInside, refused=("Expected `str`, got `int`",)),
    Case("list state", Order, [Order("a", 3)], TextOrder, refused=("field 'total'",), kind="list"),
    Case("map state, values", Order, {"k": Order("a", 3)}, TextOrder, refused=("field 'total'",), kind="map"),
    Case("map state, keys", (int, Order), {1: Order("a", 3)}, (str, Order), refused=("the keys of",), kind="map"),
    Case("operator list", Order, Order("a", 3), TextOrder, refused=("items of type", "field 'total'"), kind="operator list"),
    Case("rolling result", Order, Order("a", 3), TextOrder, refused=("field 'total'",), kind="rolling"),
    Case("window", Order, Order("a", 3), TextOrder, refused=("field 'total'",), kind="window"),
    Case("data codec to a type of other values", None, "three", int, refused=("the value 'three'", "int")),
    Case("typed to data codec", Order, Order("a", 3), None, refused=("was written with a declared or annotated type", "output_type=")),
]


def ids(case: Case) -> str:
    return case.what.replace(" ", "-")


@pytest.mark.parametrize("case", ACCEPTED, ids=ids)
def test_a_compatible_change_is_restored_and_written_anew(tmp_path: Path, case: Case) -> None:
    Run(tmp_path, case.kind, case.old, [case.stored], 1).crash(25)
    expected = (0, case.expected)
    evolved = Run(tmp_path, case.kind, case.new, None, 1)
    evolved.crash(45)
    rows = list(evolved.rows)
    written = described(tmp_path)
    evolved.until(None)
    for found in (*rows, *evolved.rows):
        assert found == expected
        assert list(map(type, found)) == list(map(type, expected))
    assert evolved.rows
    assert rows or case.kind == "window"
    assert written["kind"] == "typed"
    # What the second run wrote is the present form: its own checkpoint was read as it is.
    keys, values = case.new if isinstance(case.new, tuple) else (str, case.new)
    whole: Any = {"list": lambda: list[case.new], "map": lambda: dict[keys, values]}.get(case.kind, lambda: case.new)()  # type: ignore[valid-type, name-defined]
    if case.kind in ("rolling", "window"):
        whole = tuple[int, case.new]  # type: ignore[name-defined]
    assert written["schema"] == json.loads(msgspec.json.encode(TypedSerializer[Any](whole).description().schema))


def refused(run: Run) -> StateIncompatible | RestoreMismatch:
    """The run does not start: the source is never asked, nothing comes out. What the graph says is refused before anything is deployed."""
    with pytest.raises((RestoreMismatch, JobFailedError)) as raised:
        run.until(None)
    assert (run.asked, run.rows) == ([], [])
    cause = raised.value.__cause__ if isinstance(raised.value, JobFailedError) else raised.value
    assert isinstance(cause, StateIncompatible | RestoreMismatch)
    return cause


@pytest.mark.parametrize("case", REFUSED, ids=ids)
def test_an_incompatible_change_is_refused_before_a_record_is_read(tmp_path: Path, case: Case) -> None:
    Run(tmp_path, case.kind, case.old, [case.stored], 1).crash(25)
    before = {path: path.read_bytes() for path in tmp_path.rglob("chk-*/*")}
    error = refused(Run(tmp_path, case.kind, case.new, None, 1))
    message = str(error)
    said = (f"State {error.state!r}", f"operator {error.operator!r}", error.stored, error.wanted) if isinstance(error, StateIncompatible) else ()
    for part in (*case.refused, *said, "--resume never"):
        assert part in message
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.rglob("chk-*/*")}.items()


@pytest.mark.parametrize("kind", ["value", "list", "map", "rolling", "window"])
def test_a_refusal_with_several_subtasks_comes_before_a_record_is_read_too(tmp_path: Path, kind: str) -> None:
    stored = {"value": Order("a", 3), "list": [Order("a", 3)], "map": {"k": Order("a", 3)}}.get(kind, Order("a", 3))
    Run(tmp_path, kind, Order, [stored] * 5, 5, parallelism=2).crash(25)
    assert "field 'total'" in str(refused(Run(tmp_path, kind, TextOrder, None, 5, parallelism=2)))


def test_every_key_of_several_subtasks_is_evolved(tmp_path: Path) -> None:
    Run(tmp_path, "value", Order, [Order("a", n) for n in range(7)], 7, parallelism=3).crash(40)
    run = Run(tmp_path, "value", Renamed, None, 7, parallelism=2)
    run.until(None)
    assert dict(run.rows) == {n: Renamed("a", float(n)) for n in range(7)}


# --- keys


class Town(enum.Enum):
    ROME = "rome"
    OSLO = "oslo"


class Village(enum.Enum):
    ROME = "rome"
    OSLO = "oslo"


MoreTowns: Any = enum.Enum("Town", {"ROME": "rome", "OSLO": "oslo", "BONN": "bonn"}, module=__name__)


def towns(cls: Any) -> Any:
    return lambda n: list(cls)[n % 2], cls


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        ((lambda n: n, int), (lambda n: str(n), str), ("keys of type int (typed)", "keys of type str (typed)", "another key group")),
        ((lambda n: n, int), (lambda n: n, int | None), ("another key group", "Keep the type of the keys")),
        ((lambda n: (n, n), tuple[int, int]), (lambda n: (n, n, 0), tuple[int, int, int]), ("another key group",)),
        ((lambda n: Spot(n), Spot), (lambda n: Spot2(n), Spot2), ("another key group",)),
        (towns(Town), towns(Village), ("the value <Village.", "would be looked up in group", "Give it its former name and module")),
    ],
)
def test_keys_of_another_type_are_refused(tmp_path: Path, then: Any, now: Any, says: tuple[str, ...]) -> None:
    Run(tmp_path, "value", int, [3, 4], 2, key=then).crash(25)
    message = str(refused(Run(tmp_path, "value", int, None, 2, key=now)))
    for part in says:
        assert part in message


def test_an_enum_of_keys_may_gain_a_member(tmp_path: Path) -> None:
    Run(tmp_path, "value", int, [3, 4], 2, key=towns(Town)).crash(25)
    run = Run(tmp_path, "value", int, None, 2, key=towns(MoreTowns))
    run.until(None)
    assert dict(run.rows) == {0: 3, 1: 4}


# --- the data codec


def changed_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A class of the name of `Coded`, in its place, with one more field."""
    now = data("Coded", ("shop", str), ("total", int), ("note", str, ""))
    now.__module__, now.__qualname__ = Coded.__module__, Coded.__qualname__
    monkeypatch.setattr(sys.modules[Coded.__module__], "Coded", now)
    return now


@pytest.mark.parametrize("declared", [False, True])
def test_a_class_that_the_data_codec_wrote_does_not_evolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: bool) -> None:
    Run(tmp_path, "value", None, [Coded("a", 3)], 1).crash(25)
    now = changed_class(monkeypatch)
    message = str(refused(Run(tmp_path, "value", now if declared else None, None, 1)))
    assert "its fields were shop, total and are shop, total, note now" in message
    assert "output_type=" in message
    assert "until a checkpoint has completed" in message


def test_the_way_out_of_the_data_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is declared first, in a run of its own; then it may change."""
    Run(tmp_path, "value", None, [Coded("a", 3)], 1).crash(25)
    Run(tmp_path, "value", Coded, None, 1).crash(45)
    now = changed_class(monkeypatch)
    run = Run(tmp_path, "value", now, None, 1)
    run.until(None)
    assert run.rows == [(0, now("a", 3, ""))] * len(run.rows)
    assert run.rows
