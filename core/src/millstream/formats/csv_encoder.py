"""Rows to lines of CSV."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.formats.lines import LineEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.formats.csv_columns import Column

T = TypeVar("T")


class CsvEncoder(LineEncoder[T]):
    """Takes records apart and writes their cells, a batch at a time.

    Args:
        delimiter: what stands between cells.
        encoding: of the bytes.
        columns: names and types of the columns; None to write whatever a row holds.
        take: records to rows of values. Raises TypeError or ValueError for records that do not fit.
    """

    def __init__(
        self, *, delimiter: str, encoding: str, columns: tuple[Column, ...] | None, take: Callable[[Sequence[T]], Sequence[Sequence[Any]]]
    ) -> None:
        self._delimiter = delimiter
        self._encoding = encoding
        self._columns = columns
        self._take = take

    def encode(self, value: T) -> bytes:
        return self.encode_lines([value])[:-1]

    def encode_lines(self, values: Sequence[T]) -> bytes:
        if not values:
            return b""
        rows = self._take(values)
        if self._columns is not None:
            rows = _checked(self._columns, rows)
        return format_rows(rows, self._delimiter).encode(self._encoding)


def format_rows(rows: Sequence[Sequence[Any]], delimiter: str) -> str:
    r"""The rows as text, each ending in `\n`. Raises ValueError for a row that would not be one line."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    text = buffer.getvalue()
    if "\r" in text or text.count("\n") != len(rows):
        for row in rows:
            for cell in row:
                if isinstance(cell, str) and ("\n" in cell or "\r" in cell):
                    msg = f"{cell[:80]!r} holds a line end, which CSV read line by line cannot carry: remove it, or use JsonLinesFormat"
                    raise ValueError(msg)
    return text


def _checked(columns: tuple[Column, ...], rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    cells_by_column: list[Sequence[Any]] = list(zip(*rows))
    dated = False
    for index, (column, cells) in enumerate(zip(columns, cells_by_column)):
        for kind in set(map(type, cells)):
            if not column.takes(kind):
                wrong = next(cell for cell in cells if type(cell) is kind)
                wanted = column.kind.__name__ + (" or None" if column.optional else "")
                msg = f"column {index + 1} ({column.name}) is {repr(wrong)[:80]}, a {kind.__name__}, but was declared as {wanted}"
                raise TypeError(msg)
        if issubclass(column.kind, date):
            cells_by_column[index] = [None if cell is None else cell.isoformat() for cell in cells]
            dated = True
    return list(zip(*cells_by_column)) if dated else rows
