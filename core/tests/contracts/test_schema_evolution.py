"""What a class may declare of its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest

from millstream import schema_evolution
from millstream.contracts.schema_evolution import evolution_of
from millstream.errors import InvalidArgument


class Pair(NamedTuple):
    left: int


class Entry(TypedDict):
    left: int


class Tick(msgspec.Struct, frozen=True):
    left: int


@dataclass(slots=True)
class Order:
    left: int


@pytest.mark.parametrize("cls", [Pair, Entry, Tick, Order])
def test_every_kind_of_class_may_declare_its_history_and_stays_itself(cls: Any) -> None:
    assert evolution_of(cls).renamed == {}
    assert schema_evolution(renamed={"x": "left"}, removed=["y"])(cls) is cls
    assert (evolution_of(cls).renamed, evolution_of(cls).removed) == ({"x": "left"}, {"y"})


def test_the_decorator_may_stand_under_the_one_that_makes_the_class() -> None:
    @dataclass(slots=True)
    @schema_evolution(renamed={"x": "left"})
    class Below:
        left: int

    assert evolution_of(Below).renamed == {"x": "left"}


def test_renames_are_inherited_with_the_fields_and_versions_are_not() -> None:
    @schema_evolution(version=2, renamed={"x": "left"}, removed=["y"], migrations={1: lambda old: Base(1)})
    @dataclass
    class Base:
        left: int

    @schema_evolution(renamed={"z": "right"})
    @dataclass
    class Derived(Base):
        right: int

    @dataclass
    class Silent(Base):
        pass

    found = evolution_of(Derived)
    assert (found.version, dict(found.renamed), found.removed) == (1, {"x": "left", "z": "right"}, {"y"})
    assert dict(evolution_of(Silent).renamed) == {"x": "left"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"renamed": {"x": "middle"}}, "Order has no field 'middle'"),
        ({"renamed": {"left": "left"}}, "'left', which is a field of Order again"),
        ({"removed": ["left"]}, "'left', which is a field of Order again"),
        ({"version": 0}, "a whole number from 1"),
        ({"version": True}, "a whole number from 1"),
        ({"version": 3, "migrations": {2: dict}}, "one for each earlier version (1, 2)"),
        ({"version": 2}, "one for each earlier version (1)"),
        ({"migrations": {1: dict}}, "none, as version is 1"),
        ({"version": 2, "migrations": {1: dict, 2: dict}}, "one for each earlier version (1)"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused_where_it_stands(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        schema_evolution(**options)(Order)
    assert says in str(raised.value)
