"""A task behind the barrier of its job's last checkpoint: it processes nothing more, unless that checkpoint is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Schedule: TypeAlias = "Callable[[float, Callable[[], None]], None]"


class Rest:
    """Whether the task rests, and the timers that came due meanwhile.

    Attributes:
        begun: nothing is read, and no timer of an operator fires.
    """

    def __init__(self) -> None:
        self.begun = False
        self._behind_id: int | None = None
        self._waiting: list[Callable[[], None]] = []

    def held_back(self, schedule: Schedule) -> Schedule:
        """Scheduling for what must not be done while the task rests: it would be seen outside, and done again after the restore."""

        def when_not_resting(due_s: float, action: Callable[[], None]) -> None:
            schedule(due_s, lambda: self._waiting.append(action) if self.begun else action())

        return when_not_resting

    def behind(self, checkpoint_id: int | None) -> list[Callable[[], None]]:
        """A barrier has passed: of a last checkpoint, or (None) of another one, before which a last one must have been given up. What
        waited is due then."""
        self.begun, self._behind_id = checkpoint_id is not None, checkpoint_id
        return self._take()

    def ended(self, checkpoint_id: int) -> list[Callable[[], None]]:
        """A checkpoint was given up. What waited is due if it was that one."""
        if checkpoint_id == self._behind_id:
            self.begun, self._behind_id = False, None
        return self._take()

    def _take(self) -> list[Callable[[], None]]:
        if self.begun:
            return []
        waiting, self._waiting = self._waiting, []
        return waiting
