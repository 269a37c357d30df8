"""Holds back the splits of a source that are too far ahead in event time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.records import MAX_TIMESTAMP

if TYPE_CHECKING:
    from millstream.contracts.source import SourceReader
    from millstream.runtime.event_time import EventTime
    from millstream.runtime.messages import WatermarkLimit


class AlignedReader:
    """What of one reader is held back, by the limit it was told last.

    Attributes:
        waits: the reader must not be read at all.
        limit: the highest watermark that is read on; the highest there is before anything was told.
    """

    def __init__(self, reader: SourceReader[object], event_time: EventTime) -> None:
        self._reader = reader
        self._event_time = event_time
        self._heard = 0
        self.waits = False
        self.limit = MAX_TIMESTAMP

    def told(self, message: WatermarkLimit) -> None:
        """A new limit. A message that has come before changes nothing."""
        if message.number > self._heard:
            self._heard, self.limit = message.number, message.limit
            self.look()

    def look(self) -> None:
        """After watermarks or the limit have changed."""
        marks = self._event_time.split_watermarks()
        ahead = {split_id for split_id, watermark in marks.items() if watermark > self.limit}
        if self._reader.pauses_splits:
            held = self._event_time.held
            pause, resume = sorted(ahead - held), sorted(held & marks.keys() - ahead)
            if pause or resume:
                self._reader.pause_or_resume_splits(pause, resume)
        else:
            self.waits = bool(marks) and len(ahead) == len(marks)
            ahead = ahead if self.waits else set()
        self._event_time.held = ahead
