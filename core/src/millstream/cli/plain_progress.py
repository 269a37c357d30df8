"""Progress as lines, for logs and pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from millstream.cli.figures import Figures
from millstream.cli.summary import started, summary
from millstream.cli.texts import duration_text

if TYPE_CHECKING:
    from millstream.config import Settings
    from millstream.runtime.job_report import JobReport

INTERVAL_S: Final = 5.0


class PlainProgress:
    """An observer that writes a line every `interval_s`, and the summary at the end.

    Args:
        file: where to; never where records are printed.
    """

    def __init__(self, file: TextIO, interval_s: float = INTERVAL_S) -> None:
        self.interval_s = interval_s
        self._file = file
        self._before: Figures | None = None

    def started(self, report: JobReport, settings: Settings) -> None:
        self._before = None
        self._write(started(report))

    def progress(self, report: JobReport) -> None:
        now, before = Figures.of(report), self._before
        self._before = now
        if before is not None:  # the first look is at the very start
            self._write(progress_line(now, before))

    def ended(self, report: JobReport) -> None:
        for line in summary(report):
            self._write(line)

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()


def progress_line(now: Figures, before: Figures) -> str:
    """The figures in a line, with rates since an earlier look."""
    rate_in, rate_out = now.rates(before)
    parts = [
        f"{now.job_name}: {now.status} {duration_text(now.elapsed_s)}",
        f"in {now.records_in:,} ({rate_in})",
        f"out {now.records_out:,} ({rate_out})",
        f"checkpoints {now.checkpoints_text}",
    ]
    if now.watermark_text:
        parts.append(f"watermark {now.watermark_text}")
    if now.restarts:
        parts.append(f"restarts {now.restarts:,} (last: {now.problem})")
    return " | ".join(parts)
