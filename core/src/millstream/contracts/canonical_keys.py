"""Bytes of a key: equal for keys that are equal, the same in every process, and never read back.

Each encoding is a tag, lengths, and contents, so that no encoding is a prefix of another.
"""

from __future__ import annotations

import dataclasses
import functools
from datetime import date, datetime
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from millstream.contracts.serializer import class_name, short_repr
from millstream.errors import UnsupportedKey

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS_PER_DAY: Final = 86_400
_MICROSECONDS: Final = 1_000_000


def canonical_key_bytes(key: object, *, operator: str | None = None) -> bytes:
    """Bytes of a key: the same in every process, and the same for keys that compare equal.

    A key is str, int of any size, bytes, bool (which equals its int), date, datetime, UUID, Enum, or a tuple, NamedTuple or frozen
    dataclass of those. A NamedTuple equals the tuple of its items, an IntEnum or StrEnum member its value, a datetime with a zone
    any other of the same instant. No encoding is a prefix of another one.

    Args:
        key: the key.
        operator: named in the error.

    Raises:
        UnsupportedKey: None, a float, something unhashable, or any other type.
    """
    try:
        return _encode(key)
    except _Refused as refused:
        part, why, fix = refused.type_name, refused.why, refused.fix
    except RecursionError:
        part, why, fix = _type_name(key), "is nested too deeply", "Use a flat tuple."
    raise UnsupportedKey(key=short_repr(key), type_name=part, why=why, fix=fix, operator=operator)


class _Refused(Exception):
    def __init__(self, part: object, why: str, fix: str) -> None:
        self.type_name = _type_name(part)
        self.why = why
        self.fix = fix


def _encode(key: object) -> bytes:
    encoder = _EXACT.get(type(key))
    return _encode_other(key) if encoder is None else encoder(key)


def _encode_other(key: object) -> bytes:
    cls = type(key)
    for base, encoder in _EXACT.items():
        if issubclass(cls, base):
            return encoder(key) if _equality(cls) is _equality(base) else _refuse_equality(key)
    if issubclass(cls, Enum):
        return _encode_enum(key)
    if dataclasses.is_dataclass(cls):
        return _encode_dataclass(key)
    why, fix = _REFUSED.get(cls, ("is of a type that has no canonical bytes", _ALLOWED))
    raise _Refused(key, why, fix)


def _refuse_equality(key: object) -> bytes:
    raise _Refused(key, "has an equality of its own, so equal keys could fall into different groups", _ALLOWED)


def _equality(cls: type) -> object:
    return cls.__eq__


def _size(count: int) -> bytes:
    return count.to_bytes(1, "big") if count < 255 else b"\xff" + count.to_bytes(8, "big")


def _encode_int(key: int) -> bytes:
    length = int.bit_length(key) // 8 + 1
    return b"i" + _size(length) + int.to_bytes(key, length, "big", signed=True)


def _encode_str(key: str) -> bytes:
    data = str.encode(key, "utf-8", "surrogatepass")
    return b"s" + _size(len(data)) + data


def _encode_bytes(key: bytes) -> bytes:
    return b"b" + _size(len(key)) + key


def _encode_date(key: date) -> bytes:
    return b"d" + key.toordinal().to_bytes(4, "big")


def _encode_datetime(key: datetime) -> bytes:
    # With fold 0, as hash() does it: in one zone the two readings of a repeated hour compare equal.
    offset = key.replace(fold=0).utcoffset()
    seconds = (key.toordinal() * 24 + key.hour) * 3600 + key.minute * 60 + key.second
    micros = seconds * _MICROSECONDS + key.microsecond
    if offset is None:
        return b"n" + micros.to_bytes(8, "big")
    micros -= (offset.days * _SECONDS_PER_DAY + offset.seconds) * _MICROSECONDS + offset.microseconds
    return b"a" + micros.to_bytes(8, "big", signed=True)


def _encode_uuid(key: UUID) -> bytes:
    return b"u" + key.bytes


def _encode_items(key: tuple[object, ...]) -> bytes:
    items = [_encode(item) for item in tuple.__iter__(key)]
    return b"t" + _size(len(items)) + b"".join(items)


def _encode_enum(key: Any) -> bytes:
    cls = type(key)
    if _equality(cls) is not _equality(object):
        return _refuse_equality(key)
    if issubclass(cls, Flag):
        return b"f" + _encode_str(class_name(cls)) + _encode(key.value)
    return b"e" + _encode_str(class_name(cls)) + _encode_str(key.name)


def _encode_dataclass(key: object) -> bytes:
    cls: Any = type(key)
    name, values_of = _compared_fields(cls)
    if values_of is None:
        raise _Refused(key, "is a dataclass that can change or is not compared by its fields", "Declare it with @dataclass(frozen=True).")
    if not _has_generated_equality(cls):
        return _refuse_equality(key)
    return b"o" + _encode_str(name) + _encode_items(values_of(key))


@functools.lru_cache(maxsize=1024)
def _compared_fields(cls: Any) -> tuple[str, Callable[[object], tuple[object, ...]] | None]:
    """Name of a dataclass, and what takes the fields that count for its equality; None unless it is frozen."""
    params = cls.__dataclass_params__
    names = tuple(field.name for field in dataclasses.fields(cls) if field.compare)
    if not (params.frozen and params.eq):
        return class_name(cls), None
    return class_name(cls), lambda key: tuple([getattr(key, name) for name in names])


def _has_generated_equality(cls: type) -> bool:
    # The dataclass decorator compiles its methods from text and leaves one that the class defines itself in place.
    code = getattr(_equality(cls), "__code__", None)
    return code is not None and code.co_filename == "<string>"


def _type_name(part: object) -> str:
    cls = type(part)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


# Subclasses are tried in this order, so datetime stands before date.
_EXACT: Final[dict[Any, Callable[[Any], bytes]]] = {
    str: _encode_str,
    int: _encode_int,
    bool: _encode_int,
    bytes: _encode_bytes,
    tuple: _encode_items,
    datetime: _encode_datetime,
    date: _encode_date,
    UUID: _encode_uuid,
}

_ALLOWED: Final = "Use str, int, bytes, bool, date, datetime, UUID, Enum, or a tuple, NamedTuple or frozen dataclass of those."
_REFUSED: Final[dict[type, tuple[str, str]]] = {
    type(None): ("belongs to no group", "Filter such records out before key_by, or map None to a value of your own."),
    float: ("may differ in the last digit where it should be equal", "Round it to an int, or turn it into a str."),
    list: ("is unhashable", "Use a tuple."),
    set: ("is unhashable", "Use a tuple of its sorted items."),
    dict: ("is unhashable", "Use a tuple of its sorted items."),
}
