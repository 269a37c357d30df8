"""Batches of objects of one class whose fields say their types: msgspec writes and reads them, without a word of types in the bytes.

That is for NamedTuples, data classes and Structs with fields of int, float, str, bool, bytes, or one of these or None. What the class says is
not believed: each field of each record is compared with it, type by type, before anything is written, because msgspec's encoder would
write a bool under int, or the number of an enum, and they would come back as something else. A batch that does not hold what its class
says goes through the data codec, as does everything else: for tuples, dicts and plain values that is as fast or faster.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from millstream.state.data_codec_classes import find_class, plan_of
from millstream.state.data_codec_leaves import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import UnionType

    from millstream.state.data_codec_plans import ClassRef

_SCALARS: Final[dict[Any, str]] = {int: "int", float: "float", str: "str", bool: "bool", bytes: "bytes"}
_MAX_FIELDS: Final = 64
"""Beyond that many the check of a batch is too much code."""

_LONGEST_REST: Final = 256
"""Batches that are not looked at, at most, after some that did not hold what their class says."""

_UNIONS: Final[tuple[Any, ...]] = (Union, type(int | None))


class Field(NamedTuple):
    """What a class says of a field: a scalar type, or one or None."""

    name: str
    type: type
    optional: bool


class NoShape(Exception):
    """Objects of the class do not have one."""


class Shape:
    """Objects of one class.

    Attributes:
        name: as it stands in front of the bytes.
    """

    def __init__(self, name: bytes, check: Callable[[Sequence[Any]], bool]) -> None:
        self.name = name
        self._check = check
        self._encode = msgspec.msgpack.Encoder().encode
        self._rest = self._skip = 0

    def encode(self, values: Sequence[Any]) -> bytes | None:
        """The bytes of records; None if one of them is not as its class says, or holds what MessagePack does not."""
        if self._rest:
            self._rest -= 1
            return None
        try:
            if self._check(values):
                self._skip = 0
                return self._encode(values)
        # An integer beyond 64 bits; a lone surrogate; a field without a value.
        except (ValueError, OverflowError, AttributeError, msgspec.MsgspecError):
            pass
        # What does not fit likely does not fit in the next batch either: that is left alone, and more of them each time.
        self._skip = min(2 * self._skip + 1, _LONGEST_REST)
        self._rest = self._skip
        return None


class ShapeWriter:
    """Writes batches that have a shape."""

    def __init__(self) -> None:
        self._shapes: dict[type, Shape | None] = dict.fromkeys(_NO_CLASS)

    def encode(self, values: Sequence[Any]) -> tuple[bytes, bytes] | None:
        """Name of the shape, and the records; None where they are to go through the data codec."""
        cls = type(values[0])
        try:
            shape = self._shapes[cls]
        except KeyError:
            shape = self._shapes[cls] = _shape_of(cls)
        if shape is None:
            return None
        data = shape.encode(values)
        return None if data is None else (shape.name, data)


class ShapeReader:
    """Reads what a ShapeWriter of another process of the job has written."""

    def __init__(self) -> None:
        self._known: dict[bytes, Callable[[bytes | memoryview], list[Any]]] = {}

    def decode(self, name: bytes, data: bytes | memoryview) -> list[Any] | None:
        """The records; None if no module that is imported has their class.

        Raises:
            ValueError: nobody has written this.
        """
        decode = self._known.get(name)
        if decode is None:
            cls: Any = find_class(name.decode())
            if cls is None:
                return None
            fields_of(cls)
            decode = self._known[name] = msgspec.msgpack.Decoder(list[cls]).decode
        return decode(data)


def is_shaped(declared: Any) -> bool:
    """Whether records of a declared or annotated type have a shape, as long as they are what it says."""
    if not isinstance(declared, type) or declared in _NO_CLASS:
        return False
    try:
        fields_of(declared)
    except NoShape:
        return False
    return True


def fields_of(cls: Any) -> list[Field]:
    """The fields of a class.

    Raises:
        NoShape: they are not of scalars, or msgspec would not make the very objects of them that it was given.
    """
    try:
        ref = plan_of(cls).ref
        hints = get_type_hints(cls, include_extras=True)
    except Unsupported:
        raise NoShape from None
    except Exception:  # noqa: BLE001 - text in an annotation may be anything, and is evaluated
        raise NoShape from None
    if not 0 < len(ref.fields) <= _MAX_FIELDS or hasattr(cls, "__post_init__") or not _HAS_SHAPE.get(ref.kind, _never)(cls):
        raise NoShape
    return [_field(name, hints.get(name)) for name in ref.fields]


def _field(name: str, hint: type | UnionType | None) -> Field:
    optional = False
    if get_origin(hint) in _UNIONS:
        parts = get_args(hint)
        optional = len(parts) == 2 and type(None) in parts
        hint = next((part for part in parts if part is not type(None)), None) if optional else None
    if not isinstance(hint, type) or hint not in _SCALARS:
        raise NoShape
    return Field(name, hint, optional)


def _never(cls: Any) -> bool:
    return False


def _namedtuple(cls: Any) -> bool:
    return bool(cls.__bases__ == (tuple,) and cls.__dictoffset__ == 0)


def _dataclass(cls: Any) -> bool:
    return cls.__getattribute__ is object.__getattribute__ and all(field.init for field in dataclasses.fields(cls))


def _struct(cls: Any) -> bool:
    return bool(cls.__dictoffset__ == 0 and not cls.__struct_config__.omit_defaults)


def _shape_of(cls: Any) -> Shape | None:
    try:
        fields = fields_of(cls)
    except NoShape:
        return None
    ref: ClassRef = plan_of(cls).ref
    return Shape(ref.name.encode(), _check(cls, fields))


def _check(cls: Any, fields: Sequence[Field]) -> Callable[[Sequence[Any]], bool]:
    """Whether all of several values are of the class and have fields of these types; code of its own for each class."""
    values = [f"v{number}" for number in range(len(fields))]
    lines = ["        if type(v) is not cls: return False"]
    if cls.__dictoffset__:
        # An attribute more would be lost. The data codec refuses it, with the reason.
        slots = {name for base in cls.__mro__ for name in _slots(base)}
        lines.append(f"        if len(v.__dict__) != {sum(field.name not in slots for field in fields)}: return False")
    if issubclass(cls, tuple):
        lines.append(f"        {', '.join(values)}, = v")
    else:
        values = [f"v.{field.name}" for field in fields]
    tests = [
        f"type({value}) is not {_SCALARS[field.type]}" + (f" and {value} is not None" if field.optional else "")
        for value, field in zip(values, fields, strict=True)
    ]
    lines.append(f"        if {' or '.join(tests)}: return False")
    text = "\n".join(["def check(values):", "    for v in values:", *lines, "    return True"])
    namespace: dict[str, Any] = {"cls": cls}
    exec(compile(text, "<check of a shape>", "exec"), namespace)  # noqa: S102 - text made here; names of fields are identifiers
    check: Callable[[Sequence[Any]], bool] = namespace["check"]
    return check


def _slots(base: type) -> tuple[str, ...]:
    slots = base.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


_HAS_SHAPE: Final[dict[str, Callable[[Any], bool]]] = {"namedtuple": _namedtuple, "dataclass": _dataclass, "struct": _struct}
_NO_CLASS: Final = frozenset({type(None), *_SCALARS, complex, bytearray, tuple, list, set, frozenset, dict})
