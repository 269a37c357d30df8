"""Which splits a reader was given since a checkpoint: those that a reader restored from it does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.source import Split


class AssignedSplits:
    """Splits by reader, and by the first checkpoint that has them in the state of the reader."""

    def __init__(self) -> None:
        self._recent: dict[int, list[Split]] = {}  # in no checkpoint yet
        self._before: dict[int, dict[int, list[Split]]] = {}  # by checkpoint

    def add(self, subtask: int, splits: Sequence[Split]) -> None:
        """A reader was given splits."""
        self._recent.setdefault(subtask, []).extend(splits)

    def checkpoint(self, checkpoint_id: int) -> None:
        """A checkpoint begins: what was given so far will be in it."""
        if self._recent:
            self._before[checkpoint_id] = self._recent
            self._recent = {}

    def completed(self, checkpoint_id: int) -> None:
        """No older checkpoint is restored any more."""
        self._before = {number: given for number, given in self._before.items() if number > checkpoint_id}

    def take_back(self, subtask: int, restored_id: int | None) -> list[Split]:
        """What a reader does not have once it is restored from that checkpoint; None restores nothing it was given."""
        parts = [self._before[number] for number in sorted(self._before) if restored_id is None or number > restored_id]
        return [split for part in [*parts, self._recent] for split in part.pop(subtask, [])]
