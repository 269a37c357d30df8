"""The operators of a running job and their subtasks, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.cli.texts import time_text
from millstream.records import MAX_TIMESTAMP

if TYPE_CHECKING:
    from millstream.runtime.job_report import JobReport, SubtaskReport

COLUMNS: Final = ("operator", "subtask", "state", "attempt", "where", "in", "out", "busy", "idle", "backpressured", "watermark")
NUMBERS: Final = ("attempt", "in", "out", "busy", "idle", "backpressured")


def subtask_rows(report: JobReport) -> list[list[str]]:
    """A row for each operator and subtask."""
    return [_row(one) for one in report.subtasks]


def _row(one: SubtaskReport) -> list[str]:
    return [
        one.operator,
        f"{one.subtask + 1}/{one.parallelism}",
        one.state,
        "" if one.attempt is None else str(one.attempt + 1),
        one.where,
        f"{one.records_in:,}",
        f"{one.records_out:,}",
        *(_share(ms_per_s) for ms_per_s in (one.busy_ms_per_s, one.idle_ms_per_s, one.backpressured_ms_per_s)),
        _event_time(one.watermark),
    ]


def _share(ms_per_s: float | None) -> str:
    return "" if ms_per_s is None else f"{ms_per_s / 10:.0f} %"


def _event_time(watermark: int | None) -> str:
    if watermark is None:
        return ""
    return "end of input" if watermark == MAX_TIMESTAMP else time_text(watermark)
