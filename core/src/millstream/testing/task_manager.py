"""A simulated TaskManager process: the real TaskManager, exchange and store, on a simulated machine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from millstream.errors import CheckpointStorageFailed
from millstream.graph.execution_graph import ExecutionState, task_address
from millstream.runtime import user_code
from millstream.runtime.deployment import Ports
from millstream.runtime.messages import JOB_MANAGER, TaskStateChanged
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.processes.asked_store import AskedStore
from millstream.runtime.processes.remote_exchange import RemoteExchange
from millstream.runtime.processes.task_store import note_outcome
from millstream.runtime.task_manager import TaskManager
from millstream.testing.process import Activity, SimulatedProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.ports import Storage
    from millstream.runtime.processes.task_store import TaskStore
    from millstream.runtime.savepoints import SavepointStores
    from millstream.testing.connection import SimulatedConnection
    from millstream.testing.fault_plan import FaultPlan
    from millstream.testing.process import Parties
    from millstream.testing.transport import Network
    from millstream.testing.world import World

_START_S: Final = 0.6


class Deploy(NamedTuple):
    """To a TaskManager: the bytes of a TaskDeployment."""

    code: bytes


class Stores(NamedTuple):
    """Where tasks of a process find checkpoints.

    Attributes:
        open: the store of a process with that storage; None where they are in the memory of the JobManager's process.
        find: the store of the checkpoint from elsewhere that the run went on from; None when there is none.
        ask: a method of the JobManager's store.
        savepoints: the stores of savepoints, with that storage.
    """

    open: Callable[[Storage], TaskStore] | None
    find: Callable[[Storage], CheckpointStore] | None
    ask: Callable[..., Any]
    savepoints: Callable[[Storage], SavepointStores]


class SimulatedTaskManager(SimulatedProcess):
    """One process of an attempt. It does what `millstream.runtime.processes.worker` does, in turns that the simulation gives.

    Args:
        peer_name: what the other TaskManagers and the JobManager call it.
        network: to the JobManager.
    """

    is_task_manager = True

    def __init__(self, name: str, peer_name: str, world: World, plan: FaultPlan, network: Network, stores: Stores) -> None:
        super().__init__(name, world, plan)
        self.peer_name = peer_name
        self._stores = stores
        self._ready_s = world.clock.now_s + world.random(f"start/{name}").random() * _START_S
        self._inbox: deque[tuple[str, Any]] = deque()
        self._end = network.end(self)
        self._end.arrive = lambda address, message: self._inbox.append((address, message))
        self._end.bind(self.address, self._deploy)
        self._ports = Ports(world.clock, world.random(f"engine/{name}"), self._end, self.storage, self.executor)
        self.connections: dict[str, SimulatedConnection] = {}
        self._store: TaskStore | None = None
        self._tasks: TaskManager | None = None
        self._exchange: RemoteExchange | None = None
        self._trouble: CheckpointStorageFailed | None = None
        self._control = Activity(self._listen, lambda: self._ready_s if self._inbox else None)
        self._pump = Activity(lambda: self._exchange is not None and self._exchange.pump(), self._arrives_s)

    @property
    def address(self) -> str:
        """Where deployments are sent to."""
        return f"task manager {self.peer_name}"

    def parties(self) -> Parties:
        parties: Parties = [(f"{self.name} control", self._control), (f"{self.name} exchange", self._pump), *super().parties()]
        if self._tasks is not None:
            parties.extend((f"{self.name} {task.address}", task) for task in self._tasks.tasks)
        return parties

    def _arrives_s(self) -> float | None:
        return min((due_s for end in self.connections.values() if (due_s := end.next_due_s()) is not None), default=None)

    def _listen(self) -> bool:
        if not self._inbox or self.world.clock.now_s < self._ready_s:
            return False
        address, message = self._inbox.popleft()
        self._end.deliver(address, message)
        if self._store is not None:
            note_outcome(self._store, self.executor, message)
        return True

    def _deploy(self, message: Deploy) -> None:
        deployment = user_code.loads(message.code)
        if self._tasks is None and self._trouble is None:
            try:
                self._begin()
            except CheckpointStorageFailed as error:
                self._trouble = error
        if self._trouble is not None:
            subtask, attempt = deployment.subtask_id, deployment.attempt
            failed = TaskStateChanged(subtask, attempt, ExecutionState.FAILED, self._trouble)
            self._end.send(task_address(subtask, attempt), JOB_MANAGER, failed)
            return
        assert self._tasks is not None and self._exchange is not None  # noqa: S101, PT018 - begun
        self._tasks.deploy(deployment, self._exchange.of(deployment))

    def _begin(self) -> None:
        stores = self._stores
        if stores.open is not None:
            self._store = stores.open(self.storage)
        store = self._store or AskedStore(stores.ask)
        restored = stores.find(self.storage) if stores.find is not None else store
        self._exchange = RemoteExchange(self.peer_name, self.connections)  # type: ignore[arg-type]  # it has all that is asked of one
        savepoints = stores.savepoints(self.storage)
        self._tasks = TaskManager(self._ports, MetricRegistry(self.world.clock), store, restored, savepoints, lambda: None)

    def leave(self, *, cancel: bool) -> None:
        """It was told to end, closes what its tasks have open if it is to, and is gone."""

        def close() -> bool:
            if cancel and self._tasks is not None:
                self._tasks.cancel_all()
            return True

        self.run(close)
        if not self.dead:
            self.die("its end")

    def die(self, where: str) -> None:
        super().die(where)
        for end in self.connections.values():
            end.close()
        self.lose_buffers()
