"""The `embedded` cluster backend: this machine. In this release all slots are in the caller's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.contracts.cluster_backend import ClusterBackend, Slot
from millstream.runtime.exchange import LocalExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.runtime.deployment import TaskDeployment
    from millstream.runtime.task_manager import TaskManager

_PROCESS = "inline"


class EmbeddedClusterBackend(ClusterBackend):
    """Slots in one TaskManager of the caller's process; there are as many as asked for. Each task can be ended alone.

    Args:
        task_manager: runs the tasks.
    """

    kill_ends_task_manager = False

    def __init__(self, task_manager: TaskManager) -> None:
        self._task_manager = task_manager
        self._exchanges: dict[int, LocalExchange] = {}
        self._grants = 0

    def acquire(self, count: int) -> Sequence[Slot]:
        self._grants += 1
        return [Slot(f"{_PROCESS}/{number}", _PROCESS, str(self._grants)) for number in range(count)]

    def deploy(self, slot: Slot, deployment: TaskDeployment) -> None:
        exchange = self._exchanges.get(deployment.attempt)
        if exchange is None:
            # Channels connect tasks of one attempt; those of tasks that are over are dropped with what is in them.
            running = {task.deployment.attempt for task in self._task_manager.tasks}
            self._exchanges = {attempt: kept for attempt, kept in self._exchanges.items() if attempt in running}
            exchange = self._exchanges[deployment.attempt] = LocalExchange()
        self._task_manager.deploy(deployment, exchange)

    def kill(self, slot: Slot, task_address: str) -> None:
        for task in self._task_manager.tasks:
            if task.address == task_address:
                task.cancel()
        self._task_manager.forget_ended()

    def release(self, slots: Sequence[Slot]) -> None:
        """Slots of this process are free of charge."""

    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        """The process cannot be lost while its own JobManager looks on."""
