"""Event time of an operator with several inputs: the minimum over the active ones.

Flink's rules: a regressing value is ignored, and so are watermarks of idle inputs; an input that wakes counts again once its own value
has caught up with the last one put out; when the last active input goes idle and it was the one holding the output, the maximum over
all inputs is flushed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from millstream.records import MIN_TIMESTAMP

K = TypeVar("K")


@dataclass(slots=True)
class _Input:
    watermark: int = MIN_TIMESTAMP
    idle: bool = False
    aligned: bool = True


class WatermarkValve(Generic[K]):
    """Merges the watermarks and statuses of inputs named by K (channel numbers, split ids).

    Attributes:
        watermark: the last watermark put out.
        idle: whether every input is idle.
    """

    def __init__(self, inputs: list[K] | None = None, start: int = MIN_TIMESTAMP) -> None:
        self._inputs: dict[K, _Input] = {key: _Input() for key in inputs or []}
        self.watermark = start
        self.idle = False

    def add(self, key: K) -> None:
        """A new input, active and without a watermark: it holds the output where it is."""
        self._inputs[key] = _Input()
        self.idle = False

    def remove(self, key: K) -> int | None:
        """An input is gone and holds nothing back any more: as if it went idle for good. The new output watermark if it rises."""
        risen = self.mark_idle(key)
        del self._inputs[key]
        return risen

    def advance(self, key: K, watermark: int) -> int | None:
        """An input's watermark. The new output watermark if it rises."""
        entry = self._inputs[key]
        if entry.idle or watermark <= entry.watermark:
            return None
        entry.watermark = watermark
        if watermark >= self.watermark:
            entry.aligned = True
        return self._rise()

    def mark_idle(self, key: K) -> int | None:
        """An input went idle. The new output watermark if it rises; `idle` says whether all are idle now."""
        entry = self._inputs[key]
        if entry.idle:
            return None
        held = entry.aligned and entry.watermark <= self.watermark  # below it only behind a restored watermark
        entry.idle = True
        entry.aligned = False
        if any(not other.idle for other in self._inputs.values()):
            return self._rise()
        self.idle = True
        return self._put_out(max(other.watermark for other in self._inputs.values())) if held else None

    def mark_active(self, key: K) -> None:
        """An input woke. It counts at once if it is not behind, else when it has caught up."""
        entry = self._inputs[key]
        if entry.idle:
            entry.idle = False
            entry.aligned = entry.watermark >= self.watermark
            self.idle = False

    def is_idle(self, key: K) -> bool:
        """Whether the input is idle."""
        return self._inputs[key].idle

    def _rise(self) -> int | None:
        counting = [entry.watermark for entry in self._inputs.values() if entry.aligned and not entry.idle]
        return self._put_out(min(counting)) if counting else None

    def _put_out(self, watermark: int) -> int | None:
        if watermark <= self.watermark:
            return None
        self.watermark = watermark
        return watermark
