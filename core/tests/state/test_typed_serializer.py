from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.serializer import Serializer, SerializerDescription, Verdict
from millstream.errors import (
    DamagedState,
    InvalidArgument,
    SerializerAlreadyRegistered,
    TypeNotCarried,
    UnsupportedValue,
    ValueNotOfType,
)
from millstream.state import data_codec_registered
from millstream.state.data_codec import DataCodec
from millstream.state.serializers import RegisteredSerializer, TypedSerializer, register_serializer, serializer_for


@dataclass
class Order:
    shop: str
    total: float
    lines: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Identity:
    x: int


@dataclass
class Partly:
    x: int
    note: float = field(default=0.0, compare=False)


class Pair(NamedTuple):
    left: int
    right: str


class Tick(msgspec.Struct, frozen=True):
    symbol: str
    price: float


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Entry(TypedDict):
    name: str


class Vector:
    """A type that no serializer knows by itself."""

    def __init__(self, *items: int) -> None:
        self.items = items

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Vector):
            return [one == two for one, two in zip(self.items, other.items, strict=True)]  # no truth, like an array
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_codec_registered, "_by_class", {})
    monkeypatch.setattr(data_codec_registered, "_by_name", {})
    register_serializer(Vector, encode=lambda v: bytes(v.items), decode=lambda data: Vector(*data), name="vector")


def plainly(part: object) -> str:
    """An id that is the same in every process: the order of a set, and an address, are not."""
    return type(part).__name__ if isinstance(part, set | frozenset) or type(part) is object else str(part)[:30]


VALUES = [
    (int, 5),
    (str, "ä"),
    (bytes, b"x"),
    (bytearray, bytearray(b"x")),
    (bool, True),
    (float, -0.0),
    (float, math.nan),
    (Decimal, Decimal("1.50")),
    (Decimal, Decimal("NaN")),
    (UUID, UUID(int=7)),
    (date, date(2024, 1, 2)),
    (time, time(1, 2, 3)),
    (datetime, datetime(2024, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001 - naive
    (datetime, datetime(2024, 1, 2, tzinfo=UTC)),
    (list[datetime], [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2)]),  # noqa: DTZ001 - naive
    (timedelta, timedelta(days=-1, microseconds=7)),
    (Color, Color.BLUE),
    (Level, Level.LOW),
    (int | None, None),
    (int | str, "x"),
    (Literal["a", 1], "a"),
    (list[int], [1, 2]),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (set[int], set(range(50))),
    (frozenset[str], frozenset({"a", "b"})),
    (dict[str, list[float]], {"a": [1.0, math.nan]}),
    (dict[int, str], {1: "a"}),
    (dict[tuple[int, int], datetime], {(1, 2): datetime(2024, 1, 2, tzinfo=UTC)}),
    (Order, Order("a", 1.5, ["x"])),
    (list[Order], [Order("a", math.nan)]),
    (Identity, Identity(1)),
    (Partly, Partly(1, 2.5)),
    (Pair, Pair(1, "a")),
    (Tick, Tick("a", 1.0)),
    (Cat | Dog, Dog("Rex")),
    (Node, Node(1, Node(2))),
    (Entry, {"name": "x"}),
    (Any, [1, {"a": None}]),
    (list, [1, "a"]),
]


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and repr(one.__dict__ if isinstance(one, Identity) else one) == repr(
        other.__dict__ if isinstance(other, Identity) else other
    )


@pytest.mark.parametrize(("declared", "value"), VALUES, ids=plainly)
def test_values_of_the_declared_type_come_back(declared: Any, value: Any) -> None:
    serializer = TypedSerializer[Any](declared)
    alone, many = serializer.decode(serializer.encode(value)), serializer.decode_many(memoryview(serializer.encode_many([value, value])))
    if isinstance(value, set | frozenset):
        assert (alone, many) == (value, [value, value])
    else:
        assert same(alone, value)
        assert all(same(one, value) for one in many)


@given(st.lists(st.builds(Order, st.text(), st.floats(), st.lists(st.text()))))
def test_batches_of_dataclasses_come_back(orders: list[Order]) -> None:
    serializer = TypedSerializer[Order](Order)
    assert repr(serializer.decode_many(serializer.encode_many(orders))) == repr(orders)


@pytest.mark.parametrize(
    ("declared", "value", "says"),
    [
        (str, None, "Expected `str`, got `None`"),
        (str, 5, "Expected `str`, got `int`"),
        (float, 1, "it was written as int and read as float"),
        (float, True, "Expected `float`, got `bool`"),
        (int, True, "Expected `int`, got `bool`"),
        (int, 1.0, "int"),
        (int, 2**64, "2**64"),
        (int, -(2**63) - 1, ""),
        (int, Level.LOW, "written as"),
        (Decimal, 1, "written as int and read as decimal:Decimal"),
        (list[float], [1.0, 2], "it[1] was written as int and read as float"),
        (dict[str, float], {"a": 1}, "it['a'] was written as int and read as float"),
        (dict[float, int], {1: 1}, "a key of it was written as int and read as float"),
        (list[int], (1, 2), "written as tuple and read as list"),
        (list, [(1, 2)], "it[0] was written as tuple and read as list"),
        (datetime, datetime(2024, 7, 2, tzinfo=ZoneInfo("Europe/Berlin")), "and read as datetime.datetime(2024, 7, 1, 22, 0, tzinfo="),
        (Any, [datetime(2024, 7, 2, tzinfo=timezone(timedelta(hours=1)))], "it[0] was written as"),
        (dict[tuple[int, int], datetime], {(1, 2): datetime(2024, 7, 2, tzinfo=timezone.max)}, ""),
        (set[int], frozenset({1}), "written as frozenset and read as set"),
        (set[float], {1}, "was written as {1}"),
        (Order, Order("a", 2), "it.total was written as int and read as float"),
        (Order, Order("a", 1.0, ["x", None]), "Expected `str`"),  # type: ignore[list-item]
        (Order, {"shop": "a", "total": 1.0}, "written as dict and read as"),
        (Partly, Partly(1, 2), "it.note was written as int and read as float"),
        (Pair, (1, "a"), "written as tuple and read as"),
        (Entry, {"name": "x", "more": 1}, "had 2 entries and came back with 1"),
        pytest.param(int, object(), "object is no part of the declared type", id="object"),
        (Tick, Order("a", 1.0), ""),
        (Any, (1, 2), "written as tuple and read as list"),
    ],
    ids=plainly,
)
def test_a_value_that_would_not_come_back_is_refused_with_both_types(declared: Any, value: Any, says: str) -> None:
    serializer = TypedSerializer[Any](declared)
    good = next((v for d, v in VALUES if d is declared), None)
    for encode in (lambda: serializer.encode(value), lambda: serializer.encode_many([value] if good is None else [good, value])):
        with pytest.raises(ValueNotOfType) as raised:
            encode()
        assert says in raised.value.detail
        assert raised.value.actual in str(raised.value)
        assert raised.value.expected in str(raised.value)
        assert "output_type=" in str(raised.value)


def test_a_subclass_of_the_declared_class_is_refused() -> None:
    @dataclass
    class Special(Order):
        extra: int = 0

    with pytest.raises(ValueNotOfType, match="Special and read as"):
        TypedSerializer[Order](Order).encode(Special("a", 1.0))


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (complex, "msgspec does not carry complex"),
        (list[complex], "msgspec does not carry complex"),
        (dict[str, Vector], "Vector"),
        (Order | Tick, "more than one dict-like type"),
        (set[int] | list[int], "more than one array-like"),
        ("Order", "not supported"),
        (5, "not supported"),
        (list["Nowhere"], ""),  # type: ignore[name-defined]  # noqa: F821
        (type, "msgspec does not carry"),
    ],
)
def test_a_declared_type_that_cannot_be_carried_is_refused_with_the_fix(declared: Any, says: str) -> None:
    for make in (TypedSerializer, serializer_for):
        with pytest.raises(TypeNotCarried, match="register_serializer") as raised:
            make(declared)
        assert says in raised.value.reason


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x05\x05", msgspec.msgpack.encode("x"), b"\xdd\xff\xff\xff\xff", b"\x91" * 5_000])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    serializer = TypedSerializer[Order](Order)
    for decode in (serializer.decode, serializer.decode_many):
        with pytest.raises(DamagedState, match="Order"):
            decode(data)


@given(st.binary(max_size=30))
def test_random_bytes_are_refused_or_are_a_value(data: bytes) -> None:
    try:
        value = TypedSerializer[Order](Order).decode(data)
    except DamagedState:
        return
    assert type(value) is Order


def stored(declared: Any) -> SerializerDescription:
    """A description as it comes out of a manifest."""
    return msgspec.json.decode(msgspec.json.encode(TypedSerializer[Any](declared).description()), type=SerializerDescription)


@pytest.mark.parametrize("declared", [declared for declared, _ in VALUES], ids=plainly)
def test_state_of_the_same_type_is_read_as_it_is(declared: Any) -> None:
    assert TypedSerializer[Any](declared).compatibility(stored(declared)).verdict is Verdict.AS_IS


def test_a_class_may_be_renamed() -> None:
    @dataclass
    class Renamed:
        shop: str
        total: float
        lines: list[str] = field(default_factory=list)

    assert TypedSerializer[Any](Renamed).compatibility(stored(Order)).verdict is Verdict.AS_IS


def test_a_class_that_only_gained_a_default_is_written_differently_and_read_as_an_earlier_form() -> None:
    @dataclass
    class More(Order):
        extra: int = 0

    serializer = TypedSerializer[Any](More)
    assert serializer.compatibility(stored(Order)).verdict is Verdict.AFTER_MIGRATION
    assert serializer.reader(stored(Order)).decode(TypedSerializer[Any](Order).encode(Order("a", 1.5))) == More("a", 1.5, [], 0)


def test_another_version_or_another_serializer_is_incompatible() -> None:
    serializer = TypedSerializer[int](int)
    for description in (msgspec.structs.replace(stored(int), version=2), SerializerDescription("vector", 1, "Vector")):
        assert serializer.compatibility(description).verdict is Verdict.INCOMPATIBLE


def test_state_of_the_data_codec_migrates_while_its_classes_are_unchanged() -> None:
    codec = DataCodec()
    codec.encode(Order("a", 1.0))
    described = codec.description()
    serializer = TypedSerializer[Order](Order)
    assert serializer.compatibility(described).verdict is Verdict.AFTER_MIGRATION
    changed = msgspec.structs.replace(described, schema={"classes": {f"{__name__}:Order": {"kind": "dataclass", "fields": ["shop"]}}})
    verdict = serializer.compatibility(changed)
    assert verdict.verdict is Verdict.INCOMPATIBLE
    assert "its fields were shop" in verdict.reason
    assert codec.compatibility(serializer.description()).verdict is Verdict.INCOMPATIBLE


@pytest.mark.usefixtures("vectors")
def test_a_registered_type_is_carried_by_itself_inside_a_declared_type_and_by_the_data_codec() -> None:
    cases: list[tuple[Serializer[Any], Any]] = [
        (serializer_for(Vector), Vector(1, 2)),
        (serializer_for(dict[str, Vector]), {"a": Vector(1, 2)}),
        (serializer_for(), {"a": [Vector(1, 2)]}),
        (serializer_for(), Vector(1, 2)),
    ]
    for serializer, value in cases:
        for back in (serializer.decode(serializer.encode(value)), *serializer.decode_many(serializer.encode_many([value, value]))):
            found = back
            while not isinstance(found, Vector):
                found = found["a"] if isinstance(found, dict) else found[0]
            assert found.items == (1, 2)
        assert serializer.compatibility(serializer.description()).verdict is Verdict.AS_IS
    assert isinstance(cases[0][0], RegisteredSerializer)
    assert cases[0][0].description().kind == "vector"
    assert cases[0][0].compatibility(cases[3][0].description()).verdict is Verdict.AFTER_MIGRATION
    assert cases[0][0].compatibility(stored(int)).verdict is Verdict.INCOMPATIBLE


@pytest.mark.usefixtures("vectors")
def test_damage_and_other_types_are_refused_by_a_registered_serializer_too() -> None:
    serializer = serializer_for(Vector)
    with pytest.raises(ValueNotOfType):
        serializer.encode(5)
    with pytest.raises(DamagedState):
        serializer.decode_many(b"\x05")
    register_serializer(Vector, encode=lambda v: "text", decode=lambda data: 1 / 0, name="vector")  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidArgument, match="'vector'"):
        serializer_for(Vector).encode(Vector(1))
    with pytest.raises(DamagedState, match="ZeroDivisionError"):
        serializer_for(Vector).decode(b"x")


@pytest.mark.usefixtures("vectors")
def test_a_type_or_a_name_is_registered_once() -> None:
    with pytest.raises(SerializerAlreadyRegistered, match="Vector"):
        register_serializer(Vector, encode=bytes, decode=bytes, name="other")
    with pytest.raises(SerializerAlreadyRegistered, match="'vector'"):
        register_serializer(complex, encode=bytes, decode=bytes, name="vector")
    for name in ("", "typed", "data", "mixed", "a\nb"):
        with pytest.raises(InvalidArgument):
            register_serializer(complex, encode=bytes, decode=bytes, name=name)
    with pytest.raises(InvalidArgument):
        register_serializer("complex", encode=bytes, decode=bytes, name="c")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "kind"), [(None, "data"), (Any, "data"), (object, "data"), (int, "typed"), (Order, "typed"), (dict[str, list[Order]], "typed")]
)
def test_a_declared_type_is_typed(declared: Any, kind: str) -> None:
    assert serializer_for(declared).description().kind == kind


def test_what_the_data_codec_refuses_names_the_ways_out() -> None:
    with pytest.raises(UnsupportedValue, match="register_serializer"):
        serializer_for().encode(Vector(1))
