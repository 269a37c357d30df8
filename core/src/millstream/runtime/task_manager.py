"""A worker: runs tasks, one after the other, on the thread that drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.errors import KeySelectorFailed
from millstream.runtime.edge import EdgeWriter
from millstream.runtime.partition import make_partitioner, receivers_of
from millstream.runtime.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.graph.job_graph import JobEdge
    from millstream.runtime.channel import ChannelReader
    from millstream.runtime.deployment import Ports, TaskDeployment
    from millstream.runtime.exchange import Exchange
    from millstream.runtime.metrics import MetricRegistry
    from millstream.runtime.savepoints import SavepointStores


class TaskManager:
    """The tasks of one process.

    Args:
        store: where state goes at checkpoints.
        restored_store: where state comes from that the run went on from and that is not among the job's own checkpoints.
        savepoints: where it goes at savepoints.
        wake: tells whoever drives this process that there is something to do.
    """

    def __init__(
        self,
        ports: Ports,
        registry: MetricRegistry,
        store: CheckpointStore,
        restored_store: CheckpointStore,
        savepoints: SavepointStores,
        wake: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._registry = registry
        self._store = store
        self._restored_store = restored_store
        self.savepoints = savepoints
        self._wake = wake
        self.tasks: list[Task] = []

    def deploy(self, deployment: TaskDeployment, exchange: Exchange) -> Task:
        """Starts a task."""
        task = Task(
            deployment,
            self._ports,
            self._registry,
            self._store,
            self._restored_store if deployment.restored_elsewhere else self._store,
            self.savepoints,
            self._inputs(deployment, exchange),
            [self._edge(deployment, edge, exchange) for edge in deployment.vertex.outputs],
            self._wake,
        )
        self.tasks.append(task)
        task.start()
        return task

    def _inputs(self, deployment: TaskDeployment, exchange: Exchange) -> list[ChannelReader]:
        me, count = deployment.subtask, deployment.vertex.parallelism
        return [
            exchange.reader(edge, sender, me)
            for edge in deployment.vertex.inputs
            for sender in range(deployment.parallelisms[edge.source])
            if me in receivers_of(edge, sender, deployment.parallelisms[edge.source], count)
        ]

    def _edge(self, deployment: TaskDeployment, edge: JobEdge, exchange: Exchange) -> EdgeWriter:
        receivers = receivers_of(edge, deployment.subtask, deployment.vertex.parallelism, deployment.parallelisms[edge.target])
        random = self._ports.random.fork(f"edge/{edge.edge_id}/{deployment.subtask}/{deployment.attempt}")
        last = deployment.vertex.chain[-1]

        def failure(function: object, error: BaseException, value: object) -> KeySelectorFailed:
            return KeySelectorFailed.of(
                error, function=function, job=deployment.job_name, operator=last.name, uid=last.uid, subtask=deployment.subtask, value=value
            )

        return EdgeWriter(
            make_partitioner(edge, len(receivers), random, failure),
            [exchange.writer(edge, deployment.subtask, receiver) for receiver in receivers],
        )

    def cancel_all(self) -> None:
        """Ends every task now."""
        for task in self.tasks:
            task.cancel()

    def forget_ended(self) -> None:
        """Drops tasks that are over."""
        self.tasks = [task for task in self.tasks if not task.is_over()]
