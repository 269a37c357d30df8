"""`millstream status --watch` in a terminal: the figures of `run`, and a table of all subtasks."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Final

from rich.console import Group

from millstream.cli.figures import Figures
from millstream.cli.live_progress import progress_block
from millstream.cli.subtasks import COLUMNS, NUMBERS, subtask_rows
from millstream.cli.tables import table_of
from millstream.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.runtime.job_report import JobReport

_RATES_OVER: Final = 5
"""Looks back for the rates."""


def watch_live(reports: Iterator[JobReport]) -> JobReport:
    """Draws each report in the place of the one before, and takes the last away; gives that."""
    terminal = Terminal(sys.stdout)
    looks: deque[Figures] = deque(maxlen=_RATES_OVER)
    report = None
    try:
        for report in reports:
            looks.append(Figures.of(report))
            table = table_of(COLUMNS, subtask_rows(report), right=NUMBERS, in_terminal=True)
            terminal.draw(Group(progress_block(looks[-1], looks[0]), table))
    finally:
        terminal.erase()
    assert report is not None  # noqa: S101 - there is a first one, or an error
    return report
