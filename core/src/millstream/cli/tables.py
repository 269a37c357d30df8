"""Tables: fitted to a terminal, one line a row anywhere else, so that other programs can read them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNBOUNDED: Final = 100_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", right: Sequence[str] = ()) -> None:
    """Prints a table on stdout. Columns that are empty in every row are left out.

    Args:
        columns: headings.
        rows: cells as plain text.
        title: a line above; empty for none.
        right: headings of columns with numbers.
    """
    in_terminal = sys.stdout.isatty()
    table = table_of(columns, rows, right=right, in_terminal=in_terminal)
    console = Console(file=sys.stdout, width=None if in_terminal else _UNBOUNDED)
    if title:
        console.print(Text(title, style="bold"))
    if in_terminal:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), in_terminal: bool) -> Table:
    """The table of `print_table`, for whoever draws it."""
    rows = list(rows)
    used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD if in_terminal else None, pad_edge=in_terminal, header_style="bold", padding=(0, 2, 0, 0))
    for index in used:
        table.add_column(Text(columns[index]), justify="right" if columns[index] in right else "left", overflow="fold", no_wrap=not in_terminal)
    for row in rows:
        table.add_row(*(Text(row[index]) for index in used))
    return table
