"""Where tasks run: slots on task managers. `embedded` (this process, this machine) is one implementation of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one subtask of each vertex of a slot sharing group.

    Attributes:
        slot_id: unique among the slots of the backend.
        task_manager: the process it belongs to, by a name that no process of the job had before it.
        allocation_id: identifies the grant; answers that carry an older one are ignored.
    """

    slot_id: str
    task_manager: str
    allocation_id: str


class ClusterBackend(ABC):
    """Gives slots and runs tasks in them. Its methods are called on the JobManager's thread, and none of them waits for a process to start.

    Attributes:
        kill_ends_task_manager: whether `kill` ends all tasks of a task manager, so that they fail together.
    """

    kill_ends_task_manager: ClassVar[bool] = True

    @abstractmethod
    def acquire(self, count: int) -> Sequence[Slot]:
        """`count` slots, all or none: raises when there are fewer. Their processes may still be starting."""

    @abstractmethod
    def deploy(self, slot: Slot, deployment: Any) -> None:
        """Starts a task, once its process runs; its state is reported by messages, and messages to it find it from now on."""

    @abstractmethod
    def kill(self, slot: Slot, task_address: str) -> None:
        """Ends a task at once, and with it what cannot be told from it; returns when it can do nothing any more.

        Other tasks of its task manager end with it if `kill_ends_task_manager` says so, and no others. Done already is no error.
        """

    def kill_all(self, tasks: Sequence[tuple[Slot, str]]) -> None:
        """Ends several tasks, given by slot and address, as `kill` does; a backend that has to wait for each can wait for all at once."""
        for slot, task_address in tasks:
            self.kill(slot, task_address)

    @abstractmethod
    def release(self, slots: Sequence[Slot]) -> None:
        """Gives slots back."""

    @abstractmethod
    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        """Calls `listener(task manager, reason)`, from any thread, when a task manager is lost that was neither killed nor released.

        `reason` is for people and tells what is known of the end, without names or numbers that differ each time: failures with equal
        reasons count as one that comes again.
        """
