"""Waiting for the barriers of one checkpoint on all channels of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream.records import Barrier


class BarrierAligner:
    """Tracks the barriers of one checkpoint at a time.

    With an aligned barrier a channel that has delivered it is blocked until all have; otherwise none is ever blocked. A barrier with
    a newer id ends the older alignment. One with an id that is not newer than the last one finished is ignored.

    Args:
        channels: number of input channels, >= 1.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._arrived: set[int] = set()
        self._pending: Barrier | None = None
        self._done_id = 0
        self.blocked: set[int] = set()

    @property
    def pending_id(self) -> int | None:
        """Id of the checkpoint whose barriers are awaited."""
        return self._pending.checkpoint_id if self._pending else None

    def arrived(self, channel: int, barrier: Barrier) -> Barrier | None:
        """A barrier came in on a channel. The barrier once all channels have delivered it, else None."""
        if barrier.checkpoint_id <= self._done_id or (self._pending and barrier.checkpoint_id < self._pending.checkpoint_id):
            return None
        if self._pending is None or barrier.checkpoint_id > self._pending.checkpoint_id:
            self._start(barrier)
        self._arrived.add(channel)
        if len(self._arrived) == self._channels:
            self._done_id = barrier.checkpoint_id
            self._release()
            return barrier
        if barrier.aligned:
            self.blocked.add(channel)
        return None

    def abort(self, checkpoint_id: int) -> None:
        """The checkpoint was given up: release what waits for it, and ignore its late barriers."""
        if self._pending and self._pending.checkpoint_id <= checkpoint_id:
            self._release()
        self._done_id = max(self._done_id, checkpoint_id)

    def _start(self, barrier: Barrier) -> None:
        self._release()
        self._pending = barrier

    def _release(self) -> None:
        self._pending = None
        self._arrived.clear()
        self.blocked.clear()
