"""Lines of CSV to rows."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.format import DecodeError, Decoder
from millstream.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from millstream.formats.csv_columns import Column

T = TypeVar("T")

_EXPLAINED: Final = {
    "unexpected end of data": "a quoted field is not closed on its line (a line break inside quotes is not supported)",
    "new-line character seen": "it holds a carriage return outside quotes",
    "expected after": "a closing quote is followed by more text (a quote inside a quoted field is written twice)",
    "field larger than field limit": f"it holds a field of more than {csv.field_size_limit():,} characters",
}
"""What the standard library says, by a part of it, in words for those who made the file."""


class CsvDecoder(Decoder[T]):
    """Splits lines into cells and cells into values, a column at a time.

    Args:
        delimiter: what stands between cells.
        encoding: of the bytes.
        columns: names and types of the wanted columns; None to take all cells as they are.
        header: names in the file's first line, in its order; None where the file has none.
        make: rows of values to records.

    Raises:
        DecodeError: the header lacks a column, or names one twice.
    """

    def __init__(
        self,
        *,
        delimiter: str,
        encoding: str,
        columns: tuple[Column, ...] | None,
        header: Sequence[str] | None,
        make: Callable[[Iterable[Sequence[Any]]], list[T]],
    ) -> None:
        self._delimiter = delimiter
        self._encoding = encoding
        self._columns = columns
        self._make = make
        self._names = header if header is not None else [column.name for column in columns or ()]
        self._width = len(self._names) or None
        self._picks = _positions(columns, header) if columns and header is not None else list(range(len(columns or ())))

    def decode(self, raw: bytes) -> T:
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise DecodeError(f"byte 0x{raw[error.start]:02x} (number {error.start + 1}) is not {self._encoding}: {error.reason}") from None
        row = parse_line(text, self._delimiter)
        if self._width is not None and len(row) != self._width:
            raise DecodeError(f"it has {len(row)} fields instead of {self._width} ({', '.join(self._names)})")
        return self._finish([row if self._columns is None else self._values(self._columns, row)])[0]

    def decode_many(self, raws: list[bytes]) -> list[T]:
        if not raws:
            return []
        rows = self._split(raws)
        if self._width is not None and set(map(len, rows)) != {self._width}:
            raise DecodeError("a line has another number of fields")
        if self._columns is None:
            return self._finish(rows)
        cells = list(zip(*rows))
        try:
            return self._finish(zip(*[column.parse_many(cells[pick]) for column, pick in zip(self._columns, self._picks)]))
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _split(self, raws: list[bytes]) -> list[list[str]]:
        try:
            lines = b"\n".join(raws).decode(self._encoding).split("\n")
            rows = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DecodeError(str(error)) from None
        # An unclosed quote swallows the lines behind it, a line feed inside a record makes two lines of it.
        if len(lines) != len(raws) or len(rows) != len(raws):
            raise DecodeError("a record is not exactly one line")
        return rows

    def _values(self, columns: tuple[Column, ...], row: list[str]) -> list[Any]:
        values = []
        for column, pick in zip(columns, self._picks):
            try:
                values.append(column.parse(row[pick]))
            except ValueError:
                raise DecodeError(f"{row[pick][:80]!r} is not {column.noun}", column=pick + 1, field=column.name) from None
        return values

    def _finish(self, rows: Iterable[Sequence[Any]]) -> list[T]:
        try:
            return self._make(rows)
        except (TypeError, ValueError) as error:
            # The record type's own checks, for example in __post_init__.
            raise DecodeError(f"the record type refuses it: {error}") from None


def parse_line(text: str, delimiter: str) -> list[str]:
    """The cells of one line. Raises DecodeError."""
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        said = str(error)
        raise DecodeError(next((plain for part, plain in _EXPLAINED.items() if part in said), said)) from None
    return rows[0] if rows else []


def _positions(columns: tuple[Column, ...], header: Sequence[str]) -> list[int]:
    positions = {name: position for position, name in enumerate(header)}
    if len(positions) < len(header):
        twice = next(name for name in header if list(header).count(name) > 1)
        raise DecodeError(f"the header names column {twice!r} twice")
    for column in columns:
        if column.name not in positions:
            hint = did_you_mean(column.name, positions)
            raise DecodeError(f"the header has no column {column.name!r}, only {', '.join(header)}.{hint}".removesuffix("."), field=column.name)
    return [positions[column.name] for column in columns]
