"""Progress in a terminal: a block of figures that stays below what the job prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from rich.table import Table
from rich.text import Text

from millstream.cli.figures import Figures
from millstream.cli.summary import started, summary
from millstream.cli.texts import duration_text

if TYPE_CHECKING:
    from millstream.cli.terminal import Terminal
    from millstream.config import Settings
    from millstream.runtime.job_report import JobReport

INTERVAL_S: Final = 0.25
_RATES_OVER: Final = 8
"""Looks back for the rates: two seconds, so that they can be read."""

_STYLES: Final = {"running": "bold green", "restarting": "bold yellow", "failed": "bold red"}


class LiveProgress:
    """An observer that draws the figures four times a second, and writes the summary at the end.

    Args:
        terminal: where to draw.
        file: where the summary goes.
    """

    interval_s = INTERVAL_S

    def __init__(self, terminal: Terminal, file: TextIO) -> None:
        self._terminal = terminal
        self._file = file
        self._looks: list[Figures] = []

    def started(self, report: JobReport, settings: Settings) -> None:
        self._looks = []
        self._terminal.write(self._file, f"{started(report)}\n")

    def progress(self, report: JobReport) -> None:
        self._looks = [*self._looks[-_RATES_OVER:], Figures.of(report)]
        self._terminal.draw(progress_block(self._looks[-1], self._looks[0]))

    def ended(self, report: JobReport) -> None:
        self._terminal.write(self._file, "".join(f"{line}\n" for line in summary(report)))


def progress_block(now: Figures, before: Figures) -> Table:
    """The figures, with rates since an earlier look."""
    rate_in, rate_out = now.rates(before)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    rows = [
        ("job", Text.assemble(now.job_name, "  ", (now.status, _STYLES.get(now.status, "")), "  ", duration_text(now.elapsed_s))),
        ("records in", Text(f"{now.records_in:,}  {rate_in}")),
        ("records out", Text(f"{now.records_out:,}  {rate_out}")),
        ("checkpoints", Text(now.checkpoints_text)),
        ("watermark", Text(now.watermark_text or "none")),
        ("restarts", Text(f"{now.restarts:,}  last: {now.problem}" if now.restarts else "0")),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table
