"""How a value that was read back differs from the one that was written, also where `==` does not tell."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from millstream.contracts.serializer import short_repr
from millstream.state.data_codec_registered import registered_for
from millstream.state.typed_schema import type_name


def equal(one: Any, other: Any) -> bool:
    """Whether `==` says so. No answer is no."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the equality of users' classes may raise, that of arrays has no truth; then parts are compared
        return False


def difference_of(written: Any, read: Any, path: str) -> str | None:
    """How what was read differs from what was written; None when it is as good as the same."""
    cls = type(written)
    if cls is not type(read):
        return f"{path} was written as {type_name(cls)} and read as {type_name(type(read))}"
    if cls is float or cls is Decimal:
        same = str(written) == str(read)  # tells -0.0 from 0.0, and NaN is NaN
    elif cls is datetime:
        same = written == read and written.utcoffset() == read.utcoffset()
    elif cls is list or isinstance(written, tuple):
        return _items_difference(enumerate(written), enumerate(read), path)
    elif cls is dict:
        return _items_difference(written.items(), read.items(), path)
    elif cls is set or cls is frozenset:
        same = {(type(item), item) for item in written} == {(type(item), item) for item in read}
    elif (names := _field_names(cls)) is not None:
        return next(
            (
                difference
                for name in names
                if (difference := difference_of(getattr(written, name, None), getattr(read, name, None), f"{path}.{name}")) is not None
            ),
            None,
        )
    elif (registered := registered_for(cls)) is not None:
        same = registered.to_bytes(written) == registered.to_bytes(read)
    else:
        same = equal(written, read)
    return None if same else f"{path} was written as {short_repr(written)} and read as {short_repr(read)}"


def _items_difference(written: Any, read: Any, path: str) -> str | None:
    written, read = list(written), list(read)
    if len(written) != len(read):
        return f"{path} had {len(written)} entries and came back with {len(read)}"
    for (key, value), (read_key, read_value) in zip(written, read):
        difference = difference_of(key, read_key, f"a key of {path}") or difference_of(value, read_value, f"{path}[{short_repr(key, 40)}]")
        if difference is not None:
            return difference
    return None


def _field_names(cls: Any) -> tuple[str, ...] | None:
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else None
