"""Comma-separated values, by the standard library's csv module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from itertools import starmap
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream.formats.csv_columns import Column, columns_of_mapping, columns_of_record
from millstream.formats.csv_decoder import CsvDecoder, parse_line
from millstream.formats.csv_encoder import CsvEncoder, format_rows
from millstream.formats.lines import LineFormat, check_line_encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class CsvFormat(LineFormat[T]):
    """One row per line; cells with delimiters or quotes in them stand in double quotes, and a quote inside is written twice.

    Cells cannot hold line breaks: lines are found before cells are. A line with a quote left open is an error that says so.

    Types of columns are str, int, float, bool (true, false, 1, 0), Decimal, datetime and date (ISO 8601), each also `| None`: an
    empty cell is None there, also where an empty str was written.

    Args:
        types: names and types of the columns in order. Without `types` and `record_type`, every cell is a str.
        record_type: a dataclass, NamedTuple or msgspec.Struct with a field per column, instead of `types`.
        header: the first line of each file names the columns. Columns are then found by name, in any order, and those that are not
            asked for are passed over. A sink writes one.
        delimiter: one character.
        rows: what a row is without `record_type`: a tuple in the order of `types` (or of the file), or a dict by name.
        encoding: one that keeps ASCII (UTF-16 does not).

    Raises:
        InvalidArgument: the options do not make sense.
    """

    types: Mapping[str, Any] | None = None
    record_type: type[T] | None = None
    has_header: bool = False
    delimiter: str = ","
    rows: Literal["tuple", "dict"] = "tuple"
    encoding: str = "utf-8"

    file_suffix = ".csv"
    skips_blank_lines = True

    def __post_init__(self) -> None:
        if self.types is not None and self.record_type is not None:
            raise InvalidArgument(what="CsvFormat", value="given types= and record_type=", allowed="one of the two")
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            allowed = 'one character that is not a quote or a line end, for example "," or ";" or "\\t"'
            raise InvalidArgument(what="CsvFormat(delimiter=...)", value=repr(self.delimiter), allowed=allowed)
        if self.rows not in ("tuple", "dict"):
            raise InvalidArgument(what="CsvFormat(rows=...)", value=repr(self.rows), allowed='"tuple" or "dict"')
        if self.rows == "dict" and self.record_type is not None:
            raise InvalidArgument(what='CsvFormat(rows="dict")', value="given with record_type=", allowed="types= with it, or neither")
        if self.rows == "dict" and self.types is None and not self.has_header:
            raise InvalidArgument(what='CsvFormat(rows="dict")', value="given without names", allowed="types= or has_header=True with it")
        check_line_encoding("CsvFormat(encoding=...)", self.encoding)
        self._columns()

    def decoder(self, header: bytes | None = None) -> CsvDecoder[T]:
        names = None if header is None else self._names(header)
        columns = self._columns()
        make: Callable[[Iterable[Sequence[Any]]], list[Any]]
        if self.record_type is not None:
            make = _record_maker(self.record_type, columns or ())
        elif self.rows == "dict":
            keys = [column.name for column in columns] if columns else list(names or ())
            make = partial(_dicts, keys)
        else:
            make = _tuples
        return CsvDecoder(delimiter=self.delimiter, encoding=self.encoding, columns=columns, header=names, make=make)

    def encoder(self) -> CsvEncoder[T]:
        columns = self._columns()
        if self.record_type is not None:
            take = partial(_cells_of_records, self.record_type, tuple(column.name for column in columns or ()))
        elif self.rows == "dict" and columns:
            take = partial(_cells_of_dicts, tuple(column.name for column in columns))
        else:
            take = partial(_cells_of_tuples, len(columns) if columns else None)
        return CsvEncoder(delimiter=self.delimiter, encoding=self.encoding, columns=columns, take=take)

    def header(self) -> bytes | None:
        if not self.has_header:
            return None
        columns = self._columns()
        if columns is None:
            allowed = "types= or record_type= with it when files are written: a header needs names"
            raise InvalidArgument(what="CsvFormat(has_header=True)", value="without names", allowed=allowed)
        return format_rows([[column.name for column in columns]], self.delimiter).removesuffix("\n").encode(self.encoding)

    def _columns(self) -> tuple[Column, ...] | None:
        if self.record_type is not None:
            return columns_of_record(self.record_type)
        return None if self.types is None else columns_of_mapping(self.types)

    def _names(self, header: bytes) -> list[str]:
        try:
            text = header.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise DecodeError(f"the header is not {self.encoding}: {error.reason}") from None
        names = [name.strip() for name in parse_line(text, self.delimiter)]
        if not names:
            raise DecodeError("the header is an empty line")
        return names


def _tuples(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(map(tuple, rows))


def _dicts(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row)) for row in rows]


def _record_maker(record_type: Any, columns: Sequence[Column]) -> Callable[[Iterable[Sequence[Any]]], list[Any]]:
    if issubclass(record_type, tuple):
        return lambda rows: list(map(record_type._make, rows))
    by_name = any(parameter.kind is Parameter.KEYWORD_ONLY for parameter in signature(record_type).parameters.values())
    if by_name:
        names = [column.name for column in columns]
        return lambda rows: [record_type(**dict(zip(names, row))) for row in rows]
    return lambda rows: list(starmap(record_type, rows))


def _cells_of_records(record_type: type, names: tuple[str, ...], values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    _check_kinds(values, (record_type,), record_type.__name__)
    if issubclass(record_type, tuple):
        return values
    get = attrgetter(*names)
    return [(get(value),) for value in values] if len(names) == 1 else list(map(get, values))


def _cells_of_dicts(names: tuple[str, ...], values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    _check_kinds(values, (dict,), "dict")
    wanted = set(names)
    for value in values:
        if value.keys() != wanted:
            msg = f"a row has the keys {', '.join(map(str, value))} instead of {', '.join(names)}"
            raise ValueError(msg)
    get = itemgetter(*names)
    return [(get(value),) for value in values] if len(names) == 1 else list(map(get, values))


def _cells_of_tuples(width: int | None, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    _check_kinds(values, (tuple, list), "tuple or list")
    widths = set(map(len, values))
    if 0 in widths or (width is not None and widths != {width}):
        wrong = next(len(value) for value in values if not value or len(value) != width)
        msg = f"a row has {wrong} fields instead of {'at least one' if width is None else width}"
        raise ValueError(msg)
    return values


def _check_kinds(values: Sequence[Any], wanted: tuple[type, ...], noun: str) -> None:
    for kind in set(map(type, values)):
        if not issubclass(kind, wanted):
            msg = f"a row of this CSV format is a {noun}, not {kind.__name__}: map the records to it, or give CsvFormat(record_type=...)"
            raise TypeError(msg)
