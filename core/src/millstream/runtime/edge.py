"""The sending side of an edge: a partitioner and the channels it deals to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.records import Watermark, WatermarkStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.records import Element, RecordBatch
    from millstream.runtime.channel import ChannelWriter
    from millstream.runtime.partition import Partitioner


class EdgeWriter:
    """Sends one subtask's records and events over one edge."""

    def __init__(self, partitioner: Partitioner, channels: Sequence[ChannelWriter]) -> None:
        self._partitioner = partitioner
        self._channels = list(channels)

    def emit(self, batch: RecordBatch[Any]) -> None:
        """Deals the records out."""
        for number, part in self._partitioner.split(batch):
            self._channels[number].put(part)

    def emit_watermark(self, timestamp: int) -> None:
        """To every channel."""
        self.broadcast(Watermark(timestamp))

    def emit_status(self, idle: bool) -> None:
        """To every channel."""
        self.broadcast(WatermarkStatus(idle))

    def broadcast(self, element: Element) -> None:
        """An event to every channel."""
        for channel in self._channels:
            channel.put(element)

    def has_room(self) -> bool:
        """Whether every channel has credit left."""
        return all(channel.has_room() for channel in self._channels)
