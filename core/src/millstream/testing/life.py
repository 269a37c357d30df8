"""One life of the simulated program: its process, with the JobManager in it, and its TaskManagers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.api.environment import StreamExecutionEnvironment
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.runtime.deployment import Ports
from millstream.runtime.embedded import EmbeddedClusterBackend
from millstream.runtime.job_status import JobStatus
from millstream.runtime.launch import Launcher
from millstream.runtime.processes.task_store import open_task_store
from millstream.runtime.savepoints import SavepointStores
from millstream.runtime.storages import find_checkpoint_storage
from millstream.testing.cluster import SimulatedCluster
from millstream.testing.durable import NothingVisibleTooEarly
from millstream.testing.fault_plan import FaultPlan
from millstream.testing.faults import EverythingDied
from millstream.testing.process import SimulatedProcess
from millstream.testing.task_manager import Stores
from millstream.testing.transport import Network

if TYPE_CHECKING:
    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.contracts.cluster_backend import ClusterBackend
    from millstream.ports import Storage
    from millstream.runtime.launch import LocalJob
    from millstream.runtime.processes.task_store import TaskStore
    from millstream.runtime.task_manager import TaskManager
    from millstream.testing.process import Parties
    from millstream.testing.simulation import Simulation
    from millstream.testing.task_manager import SimulatedTaskManager


class Life(SimulatedProcess):
    """The process of the program.

    Args:
        simulation: what is run.
        number: of the life, from 0.

    Attributes:
        task_managers: all that it has started and that are not dead.
        job: None until it is launched.
        closed: the job was over, and what it had open is closed.
        error: why the program could not be started.
    """

    def __init__(self, simulation: Simulation, number: int) -> None:
        world = simulation.world
        self._simulation = simulation
        several = simulation.processes is not None
        plan = FaultPlan(world.faults, world.random(f"faults/{number}"), world.injected, simulation.fate, several=several)
        super().__init__(str(number), world, plan)
        self.network = Network(world, self.name, copies=several)
        self._ports = Ports(world.clock, world.random(f"engine/{number}"), self.network.end(self), self.storage, self.executor)
        self._cluster: SimulatedCluster | None = None
        self._errors_before = world.injected["storage error"]
        self.task_managers: list[SimulatedTaskManager] = []
        self.job: LocalJob | None = None
        self.launched = False
        self.closed = False
        self.error: Exception | None = None
        world.note(f"life {number}")

    # --- beginning

    def begin(self) -> None:
        """Starts the program. Sets `error` when that cannot be done.

        Raises:
            EverythingDied: all processes die of it.
        """

        def launch() -> bool:
            self.job = job = self._launch()
            job.start()
            self.launched = True
            return True

        try:
            self.run(launch)
        except EverythingDied:
            raise
        except Exception as error:  # noqa: BLE001 - the simulation looks whether the storage was to blame
            self.error = error

    def _launch(self) -> LocalJob:
        simulation = self._simulation
        environment = StreamExecutionEnvironment(simulation.settings, plugins=simulation.plugins, ports=self._ports)
        try:
            simulation.program(environment)
            settings = environment.settings(simulation.name)
            simulation.early = simulation.early or NothingVisibleTooEarly(self.world, simulation.plugins, simulation.name, settings.checkpoint)
            graph = environment.job_graph(simulation.name)

            def cluster(task_manager: TaskManager) -> ClusterBackend:
                if simulation.processes is None:
                    return EmbeddedClusterBackend(task_manager)
                silence_s = settings.execution.heartbeat_timeout.total_seconds()
                self._cluster = SimulatedCluster(self, simulation.processes, self._stores(launcher), silence_s)
                return self._cluster

            launcher = Launcher(settings, simulation.plugins, self._ports, cluster)
            return launcher.launch(graph)
        finally:
            environment.graph.nodes.clear()  # a crash while it is launched is no forgotten program

    def _stores(self, launcher: Launcher) -> Stores:
        """As the launcher has them: each process opens its own, unless checkpoints are in the memory of this one."""
        kept, elsewhere = launcher._storage, launcher._restored
        name = self._simulation.name

        def open_store(storage: Storage) -> TaskStore:
            assert kept is not None  # noqa: S101 - asked below
            return open_task_store(kept, CheckpointStorageContext(name, storage))

        def find(storage: Storage) -> CheckpointStore:
            assert elsewhere is not None  # noqa: S101 - asked below
            return elsewhere[0].find(elsewhere[1], storage)[0]

        def ask(method: str, *arguments: Any) -> Any:
            assert self.job is not None  # noqa: S101 - it has tasks
            return getattr(self.job.store, method)(*arguments)

        def savepoints(storage: Storage) -> SavepointStores:
            return SavepointStores(lambda location: find_checkpoint_storage(self._simulation.plugins, location), storage)

        opens = open_store if kept is not None and kept.durable else None
        return Stores(opens, find if elsewhere is not None else None, ask, savepoints)

    # --- turns

    def parties(self) -> Parties:
        job = self.job
        if job is None or job.job_manager is None or job.task_manager is None:
            return []
        parties: Parties = [(f"{self.name} manager", job.job_manager), *super().parties()]
        if self._cluster is not None:
            parties.append((f"{self.name} hub", self._cluster))
        parties.extend((f"{self.name} {task.address}", task) for task in job.task_manager.tasks)
        return parties

    def let_others_go_on(self, turns: int) -> None:
        """In the middle of a turn of this process: others take some meanwhile."""
        self._simulation.give_turns(turns)

    # --- the end

    def is_over(self) -> bool:
        """Whether its job has ended."""
        return self.launched and self.job is not None and self.job.is_over()

    def close(self) -> None:
        """The job is over: the program ends."""

        def end() -> bool:
            assert self.job is not None  # noqa: S101 - it is over
            self.job.close()
            return True

        self.plan.over = True
        self.run(end)
        self.closed = True

    def die(self, where: str) -> None:
        super().die(where)
        world = self.world
        self._simulation.died(self)
        for process in self.task_managers:
            # The connection ends; until that is noticed, the tasks go on.
            process.ends_s = world.clock.now_s + world.random(f"orphan/{process.name}").random() * ORPHANED_S
        self.lose_buffers()

    def lost(self, process: SimulatedTaskManager) -> None:
        """One of its TaskManagers is dead."""
        if self._cluster is not None:
            self._cluster.died(process, "its process was killed by SIGKILL")

    @property
    def had_storage_errors(self) -> bool:
        """Whether calls of the storage failed in this life."""
        return self.world.injected["storage error"] > self._errors_before

    def has_failed_of_the_storage(self) -> bool:
        """Whether somebody would start it again, because not the job is to blame."""
        manager = self.job.job_manager if self.job is not None else None
        failed = manager is not None and manager.status is JobStatus.FAILED
        return self.had_storage_errors and (failed or not self.launched)


ORPHANED_S = 0.3
"""Longest time from the death of the JobManager to the end of its TaskManagers, unless they stand still."""
