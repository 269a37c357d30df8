"""How objects of the job's classes are taken apart and put together again: one plan for each kind of class.

Objects are put together from plain data, after the pickle machine has ended, and without running `__init__`, `__new__`,
`__post_init__`, `__setstate__`, `__setattr__` or any other method of the class.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections import deque
from enum import Flag
from itertools import repeat
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.serializer import class_name
from millstream.errors import ChangedClass, did_you_mean
from millstream.state.data_codec_leaves import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.state.data_codec_registered import Registered

Row = tuple[Any, ...]

DECLARE: Final = "Make it a dataclass, NamedTuple, Struct or Enum at the top level of a module, or call register_serializer for its type."
_TYPING_ATTRIBUTES: Final = frozenset({"__orig_class__"})  # set by Box[int](...), says nothing of the value


class ClassRef(msgspec.Struct, frozen=True, array_like=True):
    """A class as it is named beside stored objects.

    Attributes:
        kind: `dataclass`, `namedtuple`, `struct`, `enum` or `registered`.
        name: `module:qualname`, or the registered name.
        fields: names in order; empty for an enum and a registered type.
    """

    kind: str
    name: str
    fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ClassPlan:
    """How the objects of one class are carried.

    Attributes:
        cls: the class.
        ref: its name beside the objects.
        row: takes an object apart; raises Unsupported for one that is more than its fields.
        make: puts an object together from its parts; raises whatever comes of parts that do not fit.
        width: parts in a row.
        make_many: puts many together, where that can be done faster than one by one.
    """

    cls: type
    ref: ClassRef
    row: Callable[[Any], Row]
    make: Callable[[Row], Any]
    width: int
    make_many: Callable[[Sequence[Row]], list[Any]] | None = None

    def rows(self, objects: Sequence[Any]) -> list[Row]:
        """Takes objects apart."""
        return list(map(self.row, objects))

    def objects(self, rows: Sequence[Row]) -> list[Any]:
        """Puts objects together.

        Raises:
            ValueError: the rows are not of parts of this class.
        """
        for row in rows:
            if type(row) is not tuple or len(row) != self.width:
                msg = f"an object of {self.ref.name} has other parts than its class"
                raise ValueError(msg)
        return list(map(self.make, rows)) if self.make_many is None or len(rows) < 4 else self.make_many(rows)


def registered_plan(cls: type, registered: Registered) -> ClassPlan:
    ref = ClassRef("registered", registered.name, ())
    return ClassPlan(cls, ref, lambda value: (registered.to_bytes(value),), lambda row: registered.from_bytes(row[0]), 1)


def enum_plan(cls: Any) -> ClassPlan:
    if issubclass(cls, Flag):
        if cls._missing_.__func__ is not Flag._missing_.__func__:  # type: ignore[attr-defined]
            raise Unsupported(cls, "is a Flag with a _missing_ method of its own", "Remove the method, or store its value.")
        return ClassPlan(cls, ClassRef("enum", class_name(cls), ()), lambda flag: (int(flag.value),), lambda row: cls(_int(row[0])), 1)

    def make(row: Row) -> Any:
        member = members.get(row[0])
        if member is None:
            why = f"it has no member {row[0]!r}.{did_you_mean(str(row[0]), members)}"
            raise ChangedClass(class_name=class_name(cls), why=why)
        return member

    members = cls.__members__
    return ClassPlan(cls, ClassRef("enum", class_name(cls), ()), lambda member: (member._name_,), make, 1)


def _int(value: Any) -> int:
    if type(value) is not int:
        msg = f"{type(value).__name__} where an int belongs"
        raise TypeError(msg)
    return value


def namedtuple_plan(cls: Any) -> ClassPlan:
    fields: tuple[str, ...] = cls._fields

    def row(named: Any) -> Row:
        parts = tuple(tuple.__iter__(named))
        if len(parts) != len(fields):
            raise Unsupported(named, f"has {len(parts)} items for {len(fields)} fields", "Make it with its own constructor.")
        if has_dict:
            _check_attributes(named, ())
        return parts

    has_dict = cls.__dictoffset__ != 0
    return ClassPlan(cls, ClassRef("namedtuple", class_name(cls), fields), row, functools.partial(tuple.__new__, cls), len(fields))


def struct_plan(cls: Any) -> ClassPlan:
    fields: tuple[str, ...] = cls.__struct_fields__
    if hasattr(cls, "__post_init__"):
        why = "is a Struct with __post_init__, which the data codec would have to run on stored data"
        raise Unsupported(cls, why, "Declare its type (output_type=, or the type of the state's descriptor).")

    def make(row: Row) -> Any:
        return cls(*row) if positional else cls(**dict(zip(fields, row)))

    positional = cls.__match_args__ == fields
    return ClassPlan(cls, ClassRef("struct", class_name(cls), fields), _row_of_fields(cls, fields, 0), make, len(fields))


def dataclass_plan(cls: Any) -> ClassPlan:
    fields = tuple(field.name for field in dataclasses.fields(cls))
    try:
        object.__new__(cls)
    except TypeError as error:  # abstract, or built on list, dict, Exception and the like, whose contents are in no field
        raise Unsupported(cls, f"is a dataclass with contents beside its fields ({error})", DECLARE) from None
    slots = {name for base in cls.__mro__ for name in _slots(base)}
    if extra := slots - {*fields, "__dict__", "__weakref__"}:
        raise Unsupported(cls, f"is a dataclass with the slot {min(extra)!r}, which is not a field", "Make it a field.")
    for name in fields:
        found = inspect.getattr_static(cls, name, None)
        if hasattr(type(found), "__set__") and not isinstance(found, MemberDescriptorType):
            raise Unsupported(cls, f"is a dataclass whose field {name!r} is a {type(found).__name__}", "Make it a plain field.")
    # setattr is faster; a frozen dataclass defines a __setattr__ of its own, which must not run.
    assign: Callable[[Any, str, Any], None] = setattr if cls.__setattr__ is object.__setattr__ else object.__setattr__

    def make(row: Row) -> Any:
        made = object.__new__(cls)
        for name, part in zip(fields, row):
            assign(made, name, part)
        return made

    def make_many(rows: Sequence[Row]) -> list[Any]:
        made = list(map(object.__new__, repeat(cls, len(rows))))
        for name, column in zip(fields, zip(*rows)):
            # Field by field, so that the loop over the objects runs inside map.
            deque(map(assign, made, repeat(name), column), maxlen=0)
        return made

    take = _row_of_fields(cls, fields, len(set(fields) - slots))
    return ClassPlan(cls, ClassRef("dataclass", class_name(cls), fields), take, make, len(fields), make_many)


def _slots(base: type) -> tuple[str, ...]:
    slots = base.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _row_of_fields(cls: type, fields: tuple[str, ...], in_dict: int) -> Callable[[Any], Row]:
    """What takes an object apart by attribute; `in_dict` of the fields are in its `__dict__` if it has one."""

    def row(value: Any) -> Row:
        if has_dict and len(value.__dict__) != in_dict:
            _check_attributes(value, fields)
        try:
            return take(value)
        except AttributeError as missing:
            raise Unsupported(value, f"has a field without a value ({missing})", "Give it one.") from None

    has_dict = cls.__dictoffset__ != 0
    take: Callable[[Any], Row]
    if len(fields) > 1:
        take = attrgetter(*fields)
    else:
        take = lambda value: tuple([getattr(value, name) for name in fields])  # noqa: E731 - attrgetter of one name gives no tuple
    return row


def _check_attributes(o: Any, fields: tuple[str, ...]) -> None:
    known = _TYPING_ATTRIBUTES.union(fields)
    for name in o.__dict__:
        # A cached property is computed again from the fields.
        if name not in known and not isinstance(inspect.getattr_static(type(o), name, None), functools.cached_property):
            raise Unsupported(o, f"carries the attribute {name!r}, which is not a field", "Make it a field.")
