"""Key groups that came from a subtask whose event time was further than that of the subtask that has them now.

A subtask that takes over the key groups of several goes on from the lowest of their watermarks. What the others had fired must not fire
again when event time comes there once more, and what was late for them stays late: so their watermarks are kept until they are reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.checkpoint.manifest import AheadRange


class KeyGroupsAhead:
    """Their watermarks.

    Args:
        ranges: as restored.
        key_group_of: the group of a key.
    """

    def __init__(self, ranges: Iterable[AheadRange], key_group_of: Callable[[Any], int]) -> None:
        self.ranges = list(ranges)
        self._key_group_of = key_group_of

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def watermark_of(self, key: Any) -> int:
        """How far the event time of a key's group had come; the least there is when it was not ahead."""
        group = self._key_group_of(key)
        return max((each.watermark for each in self.ranges if each.start <= group < each.stop), default=MIN_TIMESTAMP)

    def reached(self, watermark: int) -> None:
        """The subtask's own event time has come to `watermark`. The one that ends the input does not count: it is not stored either."""
        if self.ranges and watermark != MAX_TIMESTAMP:
            self.ranges = [each for each in self.ranges if each.watermark > watermark]
