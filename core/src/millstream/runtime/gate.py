"""The receiving side of a task: its channels in turn, their watermarks merged, their barriers aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.alignment import BarrierAligner
from millstream.ports import crash_point
from millstream.runtime.watermarks import WatermarkValve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.records import Barrier, Element
    from millstream.runtime.channel import ChannelReader


class InputGate:
    """All input channels of one subtask."""

    def __init__(self, channels: Sequence[ChannelReader], start_watermark: int) -> None:
        self._channels = list(channels)
        self._next = 0
        self._open = set(range(len(channels)))
        self._aligner = BarrierAligner(len(channels))
        self.valve: WatermarkValve[int] = WatermarkValve(list(range(len(channels))), start_watermark)

    def poll(self) -> tuple[int, Element] | None:
        """The next element of an unblocked channel, in turn, with the channel's number."""
        channels, blocked = self._channels, self._aligner.blocked
        count = len(channels)
        for step in range(count):
            number = (self._next + step) % count
            if number in blocked:
                continue
            element = channels[number].poll()
            if element is not None:
                self._next = (number + 1) % count
                return number, element
        return None

    def barrier(self, channel: int, barrier: Barrier) -> Barrier | None:
        """A barrier came in. It, once all channels have delivered it."""
        before = self._aligner.pending_id
        complete = self._aligner.arrived(channel, barrier)
        if complete is None and before != self._aligner.pending_id:
            crash_point("task.alignment.open")
        return complete

    def is_blocked(self) -> bool:
        """Whether some channel is not read, because it has delivered a barrier that others have not."""
        return bool(self._aligner.blocked)

    def abort(self, checkpoint_id: int) -> None:
        """The checkpoint was given up."""
        self._aligner.abort(checkpoint_id)

    def end(self, channel: int) -> bool:
        """A channel has ended. True when it was the last."""
        self._open.discard(channel)
        return not self._open

    def waiting(self) -> int:
        """Elements in all channels."""
        return sum(len(channel) for channel in self._channels)
