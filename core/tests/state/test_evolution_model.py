"""Random types, random compatible edits: what is read is what a model in plain Python makes of what was written."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import field, make_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream import schema_evolution
from millstream.contracts.serializer import SerializerDescription, Verdict
from millstream.state.serializers import TypedSerializer


class Colors(enum.Enum):
    RED = "r"


class MoreColors(enum.Enum):
    RED = "r"
    BLUE = "b"


class Edit(NamedTuple):
    """A type, the one that it becomes, values of the first, and what each of them becomes.

    Attributes:
        default: a value of the new type, for a field that is added.
    """

    old: Any
    new: Any
    values: st.SearchStrategy[Any]
    becomes: Callable[[Any], Any]
    default: Any


def same(value: Any) -> Any:
    return value


SCALARS = [
    Edit(int, int, st.integers(-(2**63), 2**63), same, 5),
    Edit(int, float, st.integers(-(2**53), 2**53), float, 0.5),
    Edit(int, Decimal, st.integers(-(2**63), 2**63), Decimal, Decimal("1.5")),
    Edit(str, str, st.text(max_size=3), same, "new"),
    Edit(bool, bool, st.booleans(), same, True),
    Edit(float, float, st.floats(allow_nan=False), same, 1.5),
    Edit(bytes, bytes, st.binary(max_size=3), same, b"x"),
    Edit(bytes, bytearray, st.binary(max_size=3), bytearray, None),
    Edit(date, date, st.dates(), same, date(2024, 1, 2)),
    Edit(datetime, datetime, st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0)), same, datetime(2024, 1, 2, tzinfo=UTC)),
    Edit(Colors, MoreColors, st.just(Colors.RED), lambda _: MoreColors.RED, MoreColors.BLUE),
    Edit(Literal["a"], Literal["a", "b"], st.just("a"), same, "b"),
    Edit(Literal["a"], str, st.just("a"), same, "b"),
    Edit(int | str, float | str, st.one_of(st.integers(-9, 9), st.text(max_size=2)), lambda v: float(v) if type(v) is int else v, "x"),
    Edit(int | None, float | None, st.none() | st.integers(-9, 9), lambda v: None if v is None else float(v), None),
]


def is_optional(declared: Any) -> bool:
    return type(None) in getattr(declared, "__args__", ())


def optional(edit: Edit) -> Edit:
    """T to T | None, or T | None to what T becomes, or None."""
    return edit if is_optional(edit.new) else edit._replace(new=edit.new | None)


def both_optional(edit: Edit) -> Edit:
    if is_optional(edit.old) or is_optional(edit.new):
        return edit
    return edit._replace(
        old=edit.old | None, new=edit.new | None, values=st.none() | edit.values, becomes=lambda v: None if v is None else edit.becomes(v)
    )


def listed(edit: Edit) -> Edit:
    return Edit(list[edit.old], list[edit.new], st.lists(edit.values, max_size=3), lambda v: list(map(edit.becomes, v)), [])  # type: ignore[name-defined]


def in_tuple(edit: Edit) -> Edit:
    many: Any = tuple[edit.new, ...]  # type: ignore[name-defined]
    return Edit(list[edit.old], many, st.lists(edit.values, max_size=3), lambda v: tuple(map(edit.becomes, v)), ())  # type: ignore[name-defined]


def in_dict(edit: Edit) -> Edit:
    values = st.dictionaries(st.text(max_size=2), edit.values, max_size=3)
    return Edit(dict[str, edit.old], dict[str, edit.new], values, lambda v: {key: edit.becomes(item) for key, item in v.items()}, {})  # type: ignore[name-defined]


def pair(one: Edit, other: Edit) -> Edit:
    old, new = tuple[one.old, other.old], tuple[one.new, other.new]  # type: ignore[name-defined]
    return Edit(old, new, st.tuples(one.values, other.values), lambda v: (one.becomes(v[0]), other.becomes(v[1])), (one.default, other.default))


def a_class(kind: str, name: str, fields: list[tuple[str, Any, Any]]) -> Any:
    """A class of that kind; fields that have a default come last."""
    if kind == "named tuple":
        made = NamedTuple(name, [(field_name, declared) for field_name, declared, _ in fields])  # type: ignore[misc]
        made.__new__.__defaults__ = tuple(default for _, _, default in fields if default is not REQUIRED)
        made._field_defaults = {field_name: default for field_name, _, default in fields if default is not REQUIRED}  # type: ignore[misc]
        return made
    if kind == "dataclass":
        given = [(n, t) if d is REQUIRED else (n, t, field(default_factory=lambda d=d: d)) for n, t, d in fields]
        return make_dataclass(name, given)
    given = [(n, t) if d is REQUIRED else (n, t, msgspec.field(default_factory=lambda d=d: d)) for n, t, d in fields]
    return msgspec.defstruct(name, given, array_like=kind == "array Struct", omit_defaults=kind == "sparse Struct")


REQUIRED = object()
KINDS = ("dataclass", "Struct", "sparse Struct", "array Struct", "named tuple")


@st.composite
def classes(draw: Any, inner: st.SearchStrategy[Edit]) -> Edit:
    """An object whose fields stay, go, come, are renamed, and change places."""
    kept = draw(st.lists(st.tuples(inner, st.sampled_from(["stays", "renamed", "gone"])), min_size=1, max_size=4))
    added = [edit for edit in draw(st.lists(inner, max_size=2)) if edit.default is not None]
    old_fields = [(f"f{n}", edit.old, REQUIRED) for n, (edit, _) in enumerate(kept)]
    staying = [(n, edit, f"f{n}" if fate == "stays" else f"r{n}") for n, (edit, fate) in enumerate(kept) if fate != "gone"]
    new_fields = draw(st.permutations([(name, edit.new, REQUIRED) for _, edit, name in staying]))
    new_fields = [*new_fields, *[(f"a{n}", edit.new, edit.default) for n, edit in enumerate(added)]]
    old = a_class(draw(st.sampled_from(KINDS)), "Old", old_fields)
    new = a_class(draw(st.sampled_from(KINDS)), "New", new_fields)
    renamed = {f"f{n}": name for n, _, name in staying if name != f"f{n}"}
    schema_evolution(renamed=renamed, removed=[f"f{n}" for n, (_, fate) in enumerate(kept) if fate == "gone"])(new)

    def becomes(value: Any) -> Any:
        return new(**{name: edit.becomes(getattr(value, f"f{n}")) for n, edit, name in staying})

    return Edit(old, new, st.tuples(*(edit.values for edit, _ in kept)).map(lambda values: old(*values)), becomes, None)


def containers(inner: st.SearchStrategy[Edit]) -> st.SearchStrategy[Edit]:
    alone = [inner.map(change) for change in (optional, both_optional, listed, in_tuple, in_dict)]
    return st.one_of(*alone, st.tuples(inner, inner).map(lambda edits: pair(*edits)), classes(inner), classes(inner))


EDITS = st.recursive(st.sampled_from(SCALARS), containers, max_leaves=8)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_after_any_compatible_edit_of_any_type_values_are_what_the_model_makes_of_them(data: st.DataObject) -> None:
    edit = data.draw(EDITS)
    values = data.draw(st.lists(edit.values, max_size=4))
    old, new = TypedSerializer[Any](edit.old), TypedSerializer[Any](edit.new)
    stored = msgspec.json.decode(msgspec.json.encode(old.description()), type=SerializerDescription)
    compatibility = new.compatibility(stored)
    assert compatibility.verdict is not Verdict.INCOMPATIBLE, compatibility.reason
    expected = [edit.becomes(value) for value in values]
    reader = new.reader(stored)
    for found in (reader.decode_many(old.encode_many(values)), [reader.decode(old.encode(value)) for value in values]):
        assert repr(found) == repr(expected)
        assert found == expected
    # What was evolved is written like any other value of the new type.
    assert repr(new.decode_many(new.encode_many(expected))) == repr(expected)
