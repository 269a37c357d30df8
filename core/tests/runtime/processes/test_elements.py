"""Batches between processes come back as they were, whatever is in them, and however they are written."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.records import RecordBatch
from millstream.runtime.processes.elements import ElementCodec, NotSendable
from millstream.runtime.processes.frames import ForeignFrames, Kind
from millstream.runtime.processes.shapes import ShapeWriter, is_shaped


class Color(IntEnum):
    RED = 1


class Reading(NamedTuple):
    number: int
    name: str
    value: float
    note: str | None = None


@dataclass
class Point:
    x: float
    y: float
    _label: str = ""


@dataclass(frozen=True, slots=True)
class Flags:
    up: bool
    raw: bytes
    level: int | None


class Order(msgspec.Struct):
    user: str
    amount: int


class Tagged(msgspec.Struct, tag="t", rename="camel", array_like=True, kw_only=True):
    some_user: str
    some_amount: float


@dataclass
class Open:
    whatever: Any


class WithHook(msgspec.Struct):
    amount: int

    def __post_init__(self) -> None:
        self.amount += 1


SHAPED = (Reading, Point, Flags, Order, Tagged)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**64), 2**65),
    st.floats(),
    st.text(),
    st.sampled_from(["\0", "a\0b", "\ud800", "ü"]),
    st.binary(max_size=5),
    st.just(Color.RED),
    st.just(-0.0),
)
TEXT, INTS, FLOATS = st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), st.floats()


def instances(cls: Any, names: list[str], *typed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of a class, most of them as it says, some with anything in a field."""
    right = st.builds(cls, **dict(zip(names, typed, strict=True)))
    wrong = st.builds(cls, **dict.fromkeys(names, SCALARS))
    return st.one_of(right, right, right, wrong)


OBJECTS = [
    instances(Reading, ["number", "name", "value", "note"], INTS, TEXT, FLOATS, st.none() | TEXT),
    instances(Point, ["x", "y", "_label"], FLOATS, FLOATS, TEXT),
    instances(Flags, ["up", "raw", "level"], st.booleans(), st.binary(max_size=4), st.none() | INTS),
    instances(Order, ["user", "amount"], TEXT, INTS),
    instances(Tagged, ["some_user", "some_amount"], TEXT, FLOATS),
    st.builds(Open, SCALARS),
]
PLAIN = [
    SCALARS,
    st.tuples(INTS, TEXT, FLOATS),
    st.lists(SCALARS, max_size=3).map(tuple),
    st.tuples(TEXT, st.tuples(INTS, FLOATS)),
    st.dictionaries(TEXT, SCALARS, max_size=3),
    st.lists(SCALARS, max_size=3),
]
BATCHES = st.one_of(*[st.lists(strategy, min_size=1, max_size=8) for strategy in (*OBJECTS, *PLAIN, st.one_of(*OBJECTS, *PLAIN))])


def there(codec: ElementCodec, values: list[Any], timestamps: list[int] | None = None) -> RecordBatch[Any]:
    (sent,) = codec.encode(RecordBatch(list(values), timestamps))
    came: Any = ElementCodec().decode(*sent)
    return came  # type: ignore[no-any-return]


def told(value: Any) -> Any:
    """All that there is to see of a value: its class, and the classes of its parts; NaN is NaN and 0.0 is not -0.0."""
    if isinstance(value, dict):
        return dict, [(told(key), told(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [told(part) for part in value]
    names = getattr(type(value), "__struct_fields__", None) or getattr(type(value), "__dataclass_fields__", None)
    if names:
        return type(value), [told(getattr(value, name)) for name in names]
    return type(value), repr(value)


@given(batch=BATCHES, timed=st.booleans())
@settings(max_examples=400, deadline=None)
def test_every_record_of_a_batch_comes_back_as_it_was_with_the_types_of_all_its_parts(batch: list[Any], timed: bool) -> None:
    timestamps = list(range(-2, len(batch) - 2)) if timed else None
    came = there(ElementCodec(), batch, timestamps)
    assert [told(value) for value in came.values] == [told(value) for value in batch]
    assert came.timestamps == timestamps


@given(batches=st.lists(BATCHES, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_codec_that_has_seen_other_batches_writes_the_next_ones_right(batches: list[list[Any]]) -> None:
    codec = ElementCodec()
    for batch in batches:
        assert told(there(codec, batch).values) == told(batch)


RIGHT: list[Any] = [
    Reading(1, "a\0b", math.nan, None),
    Point(-0.0, math.inf, "ü"),
    Flags(True, b"\0", 2**63),
    Order("u", -(2**63)),
    Tagged(some_user="u", some_amount=1.0),
]


@pytest.mark.parametrize("value", RIGHT, ids=[cls.__name__ for cls in SHAPED])
def test_objects_that_are_what_their_class_says_go_typed(value: Any) -> None:
    assert is_shaped(type(value))
    assert ShapeWriter().encode([value, value]) is not None
    assert told(there(ElementCodec(), [value, value]).values) == told([value, value])


@pytest.mark.parametrize(
    "value",
    [Reading(True, "a", 1.0), Reading(1, None, 1.0), Reading(1, "a", 1), Order("u", 2**64), Order("\ud800", 1), Order("u", Color.RED)],  # type: ignore[arg-type]
    ids=str,
)
def test_one_record_that_is_not_what_its_class_says_leaves_its_batch_to_the_data_codec(value: Any) -> None:
    batch = [Reading(1, "a", 1.0), Order("u", 1)][isinstance(value, Order)], value
    assert ShapeWriter().encode(list(batch)) is None
    assert told(there(ElementCodec(), list(batch)).values) == told(list(batch))


@pytest.mark.parametrize("cls", [Open, WithHook, Color, int, tuple, dict, Any])
def test_what_has_fields_of_other_types_or_code_of_its_own_is_left_to_the_data_codec(cls: Any) -> None:
    assert not is_shaped(cls)


def test_after_mixed_batches_those_of_one_shape_go_typed_again() -> None:
    writer = ShapeWriter()
    wrong, right = [Order("u", True)], [Order("u", 1)]
    for _ in range(3):
        writer.encode(wrong)
    assert any(writer.encode(right) is not None for _ in range(300))
    assert all(writer.encode(right) is not None for _ in range(300))


def test_an_attribute_that_is_no_field_is_refused_and_not_lost() -> None:
    point = Point(1.0, 2.0)
    point.z = 3.0  # type: ignore[attr-defined]
    with pytest.raises(NotSendable, match="'z'"):
        there(ElementCodec(), [Point(1.0, 2.0), point])


def test_a_field_without_a_value_is_refused() -> None:
    flags = object.__new__(Flags)
    with pytest.raises(NotSendable, match="without a value"):
        there(ElementCodec(), [flags])


@pytest.mark.parametrize("name", ["builtins:int", "subprocess:Popen", "nowhere:Nothing", f"{__name__}:Open", f"{__name__}:WithHook", "", "\ud800"])
def test_bytes_that_name_a_class_without_a_shape_are_no_batch(name: str) -> None:
    encoded = name.encode("utf-8", "surrogatepass")
    payload = b"\x04" + (1).to_bytes(4, "big") + bytes(8) + len(encoded).to_bytes(2, "big") + encoded + msgspec.msgpack.encode([1])
    with pytest.raises(ForeignFrames):
        ElementCodec().decode(Kind.RECORDS, payload)


def test_a_class_whose_module_only_the_sender_has_imported_is_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shaped_elsewhere.py").write_text("from typing import NamedTuple\nclass There(NamedTuple):\n    number: int\n")
    monkeypatch.syspath_prepend(tmp_path)
    import shaped_elsewhere  # type: ignore[import-not-found]

    (sent,) = ElementCodec().encode(RecordBatch([shaped_elsewhere.There(1)]))
    del sys.modules["shaped_elsewhere"]
    came: Any = ElementCodec().decode(*sent)
    assert type(came.values[0]) is sys.modules["shaped_elsewhere"].There
    assert came.values == [(1,)]
    del sys.modules["shaped_elsewhere"]
