"""Waiting for the barriers of a checkpoint on all channels of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.records import Barrier


class BarrierAligner:
    """Tracks the barriers of the checkpoints under way.

    With aligned barriers a channel that has delivered one is blocked until all have, so that one alignment at a time is enough also with
    several checkpoints under way: a blocked channel cannot deliver the barrier of the next one. That a newer barrier comes on another
    channel means that the older one was given up before it came so far: the older alignment ends. Barriers that are not aligned block
    nothing, and those of several checkpoints are awaited at the same time, as in Flink's CheckpointBarrierTracker. A barrier with an id
    that is not newer than the last one finished, or of a checkpoint that was given up, is ignored.

    Args:
        channels: number of input channels, >= 1.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._arrived: dict[int, set[int]] = {}
        self._done_id = 0
        self._given_up: set[int] = set()  # above the last one finished
        self.blocked: set[int] = set()

    @property
    def pending_id(self) -> int | None:
        """Id of the newest checkpoint whose barriers are awaited."""
        return max(self._arrived, default=None)

    def arrived(self, channel: int, barrier: Barrier) -> Barrier | None:
        """A barrier came in on a channel. The barrier once all channels have delivered it, else None."""
        number = barrier.checkpoint_id
        if number <= self._done_id or number in self._given_up:
            return None
        if barrier.aligned and any(other > number for other in self._arrived):
            return None
        if barrier.aligned and number not in self._arrived:
            self._arrived.clear()
            self.blocked.clear()
        channels = self._arrived.setdefault(number, set())
        channels.add(channel)
        if len(channels) == self._channels:
            self._finish(number)
            return barrier
        if barrier.aligned:
            self.blocked.add(channel)
        return None

    def _finish(self, number: int) -> None:
        # What is older will not come any more on the channels that have delivered this one: they were given up.
        self._done_id = number
        self._arrived = {other: channels for other, channels in self._arrived.items() if other > number}
        self._given_up = {other for other in self._given_up if other > number}
        self.blocked.clear()

    def abort(self, checkpoint_id: int) -> None:
        """The checkpoint was given up: release what waits for it, and ignore its late barriers."""
        if checkpoint_id <= self._done_id:
            return
        self._given_up.add(checkpoint_id)
        if self._arrived.pop(checkpoint_id, None) is not None:
            self.blocked.clear()
