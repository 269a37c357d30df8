"""Where tasks run: slots on task managers. `embedded` (this process, this machine) is one implementation of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one subtask of each vertex of a slot sharing group.

    Attributes:
        slot_id: unique among the slots of the backend.
        task_manager: the process it belongs to.
        allocation_id: identifies the grant; answers that carry an older one are ignored.
    """

    slot_id: str
    task_manager: str
    allocation_id: str


class ClusterBackend(ABC):
    """Gives slots and runs tasks in them."""

    @abstractmethod
    def acquire(self, count: int) -> Sequence[Slot]:
        """`count` slots, all or none: raises when there are fewer."""

    @abstractmethod
    def deploy(self, slot: Slot, deployment: Any) -> None:
        """Starts a task; its state is reported by messages."""

    @abstractmethod
    def kill(self, slot: Slot, task_address: str) -> None:
        """Ends a task at once; returns when it can do nothing any more."""

    @abstractmethod
    def release(self, slots: Sequence[Slot]) -> None:
        """Gives slots back."""

    @abstractmethod
    def on_failure(self, listener: Callable[[str, BaseException | None], None]) -> None:
        """Calls `listener(task manager, cause)` when a task manager is lost."""
