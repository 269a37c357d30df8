"""Columns of a CSV file: their names, their types, and how a cell becomes a value."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from millstream.errors import InvalidArgument

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_BOOLS: Final = {"true": True, "false": False, "1": True, "0": False}


def _parse_int(cell: str) -> int:
    _refuse_python_spelling(cell)
    return int(cell)


def _parse_float(cell: str) -> float:
    _refuse_python_spelling(cell)
    return float(cell)


def _parse_bool(cell: str) -> bool:
    value = _BOOLS.get(cell.strip().lower())
    if value is None:
        raise ValueError(cell)
    return value


def _parse_decimal(cell: str) -> Decimal:
    _refuse_python_spelling(cell)
    try:
        return Decimal(cell)
    except InvalidOperation:
        raise ValueError(cell) from None


def _refuse_python_spelling(cells: str) -> None:
    # Python reads 1_000 and digits of every script; other tools that read the file do not.
    if "_" in cells or not cells.isascii():
        raise ValueError(cells)


_PARSERS: Final[dict[Any, Callable[[str], Any]]] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    Decimal: _parse_decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
}

_NOUNS: Final[dict[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Decimal: "a decimal number",
    datetime: "a date and time in ISO 8601",
    date: "a date in ISO 8601",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: as the header spells it.
        kind: str, int, float, bool, Decimal, datetime or date.
        optional: an empty cell is None.
    """

    name: str
    kind: Any
    optional: bool = False

    @property
    def noun(self) -> str:
        """What a cell of this column has to be, for error messages."""
        return _NOUNS[self.kind]

    def parse(self, cell: str) -> Any:
        """The value of one cell. Raises ValueError."""
        return None if self.optional and not cell else _PARSERS[self.kind](cell)

    def parse_many(self, cells: Sequence[str]) -> Iterable[Any]:
        """The values of many cells. Raises ValueError."""
        if self.optional:
            parse = _PARSERS[self.kind]
            return [parse(cell) if cell else None for cell in cells]
        if self.kind is str:
            return cells
        if self.kind is int or self.kind is float:
            _refuse_python_spelling("".join(cells))
            return list(map(self.kind, cells))
        return list(map(_PARSERS[self.kind], cells))

    def takes(self, kind: type) -> bool:
        """Whether values of type `kind` can be written into this column and come back equal."""
        if kind is type(None):
            return self.optional
        if self.kind in (int, float) and issubclass(kind, bool):
            return False
        if self.kind is date and issubclass(kind, datetime):
            return False
        return issubclass(kind, self.kind) or (self.kind is float and issubclass(kind, int))


def columns_of_mapping(types_by_name: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that `types=` describes. Raises InvalidArgument."""
    if not types_by_name:
        raise InvalidArgument(what="CsvFormat(types=...)", value="empty", allowed='at least one column, for example {"id": str, "n": int}')
    return tuple(_column(name, kind, "CsvFormat(types=...)") for name, kind in types_by_name.items())


def columns_of_record(record_type: type) -> tuple[Column, ...]:
    """The columns that the fields of a dataclass, NamedTuple or Struct describe. Raises InvalidArgument."""
    what = f"CsvFormat(record_type={record_type.__name__ if isinstance(record_type, type) else record_type!r})"
    names = _field_names(record_type)
    if not names:
        raise InvalidArgument(what=what, value="without fields", allowed="a dataclass, NamedTuple or msgspec.Struct with a field per column")
    try:
        hints = typing.get_type_hints(record_type)
    except (NameError, TypeError) as error:
        raise InvalidArgument(
            what=what,
            value=f"annotated with what cannot be resolved ({error})",
            allowed="annotations that are defined in the module of the class",
        ) from None
    return tuple(_column(name, hints.get(name, str), what) for name in names)


def _field_names(record_type: Any) -> Sequence[str]:
    if dataclasses.is_dataclass(record_type):
        return [field.name for field in dataclasses.fields(record_type) if field.init]
    if isinstance(record_type, type) and issubclass(record_type, msgspec.Struct):
        return record_type.__struct_fields__
    if isinstance(record_type, type) and issubclass(record_type, tuple):
        return getattr(record_type, "_fields", ())
    return ()


def _column(name: str, kind: Any, what: str) -> Column:
    plain, optional = kind, False
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(kind) if arm is not type(None)]
        optional = len(arms) < len(typing.get_args(kind))
        plain = arms[0] if len(arms) == 1 else kind
    if plain not in _PARSERS:
        known = ", ".join(known.__name__ for known in _PARSERS)
        raise InvalidArgument(what=what, value=f"{kind!r} for column {name!r}", allowed=f"one of {known}, or one of them | None")
    return Column(name, plain, optional)
