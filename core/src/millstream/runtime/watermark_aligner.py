"""Tells sources how far they may run ahead of the slowest one of their group (FLIP-182, FLIP-217)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.records import MAX_TIMESTAMP
from millstream.runtime.messages import WatermarkLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.contracts.watermarks import WatermarkAlignment
    from millstream.graph.execution_graph import SubtaskId
    from millstream.graph.job_graph import JobGraph
    from millstream.runtime.messages import ReportedWatermark


class WatermarkAligner:
    """The aligned sources of one attempt of the job.

    A subtask counts from its first report on, which it makes before it reads anything.

    Args:
        job: whose sources they are.
        send: a message to a subtask of the current attempt.
        call_later: runs a function on the JobManager's thread after so many seconds.
    """

    def __init__(self, job: JobGraph, send: Callable[[SubtaskId, object], None], call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self._send = send
        self._call_later = call_later
        self._reported: dict[tuple[str, SubtaskId], ReportedWatermark] = {}
        self._told: dict[SubtaskId, int] = {}
        self._over = False
        self._alignments: dict[str, WatermarkAlignment] = {}
        for _, operator in job.operators():
            alignment = operator.alignment
            if alignment is not None:
                self._alignments[operator.uid] = alignment

    def start(self) -> None:
        """All tasks run."""
        for uid in self._alignments:
            self._announce_again(uid)

    def receive(self, message: ReportedWatermark) -> None:
        """How far a subtask has come. What has come before changes nothing."""
        place = message.source_uid, message.subtask
        before = self._reported.get(place)
        if before is None or (message.attempt, message.number) > (before.attempt, before.number):
            self._reported[place] = message

    def forget(self, subtasks: Iterable[SubtaskId]) -> None:
        """These begin again, further back: nobody waits for what they said, nor for them, until they say it again."""
        gone = set(subtasks)
        self._reported = {place: report for place, report in self._reported.items() if place[1] not in gone}
        for subtask in gone:
            self._told.pop(subtask, None)

    def close(self) -> None:
        """The attempt is over."""
        self._over = True

    def _announce_again(self, uid: str) -> None:
        if self._over:
            return
        self._announce(uid)
        self._call_later(self._alignments[uid].update_interval_ms / 1000, lambda: self._announce_again(uid))

    def _announce(self, uid: str) -> None:
        alignment = self._alignments[uid]
        group = [report.watermark for (source, _), report in self._reported.items() if self._alignments[source].group == alignment.group]
        if not group:
            return
        limit = min(MAX_TIMESTAMP, min(group) + alignment.max_drift_ms)
        for source, subtask in self._reported:
            if source == uid:
                number = self._told[subtask] = self._told.get(subtask, 0) + 1
                self._send(subtask, WatermarkLimit(limit, number))
