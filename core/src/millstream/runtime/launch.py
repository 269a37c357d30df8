"""Puts a job together: settings, plugins, ports, checkpoints, JobManager and driver."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.manifest import read_state_file
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import MissingMainGuard, NoDurableStorage
from millstream.ports import LocalStorage, LocalTransport, SeededRandom, SystemClock, ThreadExecutor, check_armed
from millstream.runtime import user_code
from millstream.runtime.clean_up import forget_run
from millstream.runtime.deployment import Ports
from millstream.runtime.driver import InlineDriver
from millstream.runtime.embedded import EmbeddedClusterBackend
from millstream.runtime.fit import fit_of
from millstream.runtime.job_manager import JobManager
from millstream.runtime.job_metrics import register_job_metrics
from millstream.runtime.job_status import JobExecutionResult, JobStatus
from millstream.runtime.log import is_configured, job_logging_scope
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.reporting import Reporting, make_reporters
from millstream.runtime.resume import AlreadyEnded, Resumption
from millstream.runtime.savepoints import Savepoints, SavepointStores
from millstream.runtime.storages import find_checkpoint_storage
from millstream.runtime.task_manager import TaskManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.manifest import Manifest
    from millstream.config import Settings
    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStore
    from millstream.contracts.cluster_backend import ClusterBackend
    from millstream.contracts.state_backend import StateBackend
    from millstream.graph.job_graph import JobGraph
    from millstream.plugins import PluginManager
    from millstream.runtime.fit_model import Fit
    from millstream.runtime.processes.metrics import MetricsMirror

log = logging.getLogger(__name__)


def system_ports(seed: int | None) -> Ports:
    """The real world."""
    return Ports(SystemClock(), SeededRandom(seed), LocalTransport(), LocalStorage(), ThreadExecutor())


@dataclass
class LocalJob:
    """A job in this process, started and driven by its owner.

    Attributes:
        job_manager: the job's coordinator; None when the run that was to be resumed had ended already.
        driver: gives everybody their turns.
        ended_run: run id of the run that had ended already.
    """

    job_name: str
    ports: Ports
    registry: MetricRegistry
    wakeup: Event
    driver: InlineDriver
    store: CheckpointStore
    task_manager: TaskManager | None = None
    job_manager: JobManager | None = None
    ended_run: str = ""
    reporting: Reporting | None = None
    mirror: MetricsMirror | None = None
    report_every_s: float = 10.0
    started_s: float = 0.0
    started_ms: int = 0
    ended_s: float | None = None

    def start(self) -> None:
        """Deploys the job."""
        self.started_s = self.ports.clock.monotonic_s()
        self.started_ms = self.ports.clock.now_ms()
        if self.job_manager is not None:
            self.job_manager.start()
            if self.mirror is not None:
                manager = self.job_manager
                self.mirror.on_report(lambda: manager.post(self._take_metrics))
            if self.reporting:
                register_job_metrics(self, self.job_manager)
                self.job_manager.repeat(self.report_every_s, self.reporting.report)

    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.job_manager is None or self.job_manager.status.is_final

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Works until the condition holds or the job is over."""
        if self.job_manager is not None:
            self.driver.run(until)

    def close(self) -> None:
        """Ends what still runs, keeping its checkpoints, and releases the process's own resources."""
        if self.job_manager is not None:
            self.job_manager.suspend()
        if self.ended_s is None:
            self.ended_s = self.ports.clock.monotonic_s()
            self.ports.executor.close()
            self._close_store()
            self._take_metrics()
            if self.reporting:
                self.reporting.close()

    def _take_metrics(self) -> None:
        if self.mirror is not None:
            self.mirror.apply()

    def _close_store(self) -> None:
        # Also for who was replaced by a newer leader and has not been told before: nobody else looks for what it began.
        try:
            if self.task_manager is not None:
                self.task_manager.savepoints.close()
            self.store.close()
        except OSError as error:
            log.warning("what job %s had begun of a checkpoint could not be removed: %s", self.job_name, error)

    def result(self) -> JobExecutionResult:
        """What the job came to."""
        ended_s = self.ended_s if self.ended_s is not None else self.ports.clock.monotonic_s()
        manager = self.job_manager
        if manager is None:
            return JobExecutionResult(self.job_name, self.ended_run, JobStatus.FINISHED, 0.0, 0, 0)
        return JobExecutionResult(
            job_name=self.job_name,
            run_id=manager.run_id,
            status=manager.status,
            duration_s=ended_s - self.started_s,
            restarts=manager.restarts,
            checkpoints=manager.coordinator.statistics.completed,
            last_checkpoint=manager.last_checkpoint(),
            savepoint=manager.last_savepoint,
            accumulators=dict(manager.accumulators),
            counts=self.registry.counts(self.job_name),
        )


class Launcher:
    """Makes a LocalJob of a job graph.

    Args:
        settings: how to run it.
        plugins: where backends and storages come from.
        ports: the outside world; the real one when None. Another one has one process, whatever the settings say.
        cluster: where tasks run, made of the TaskManager of this process; by default what the settings say.
        takes_over: a run whose JobManager died: it is gone on with, or found to have ended, whatever the settings say. Empty for none.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginManager,
        ports: Ports | None = None,
        cluster: Callable[[TaskManager], ClusterBackend] = EmbeddedClusterBackend,
        takes_over: str = "",
    ) -> None:
        self._takes_over = takes_over
        self._settings = settings
        self._plugins = plugins
        self._real = ports is None and cluster is EmbeddedClusterBackend
        self._ports = ports or system_ports(settings.execution.seed)
        self._cluster = cluster
        self._storage: CheckpointStorage | None = None
        self._restored: tuple[CheckpointStorage, str] | None = None

    def launch(self, job: JobGraph) -> LocalJob:
        """The job, not started yet.

        Raises:
            ResumeUndecided, DamagedCheckpoint, NoCheckpointToResume: see `job.resume`.
            RestoreMismatch: the checkpoint to go on from does not fit the job.
            UnknownPlugin: a backend or storage that is not installed.
            CheckpointStorageFailed: the folder of the checkpoints cannot be read or written.
            MissingMainGuard: a process of another job imports the script.
            UnknownCrashPoint: MILLSTREAM_CRASH names a point that does not exist.
        """
        script = user_code.script_being_imported()
        if script is not None:
            raise MissingMainGuard(script=script)
        ports, wakeup = self._ports, Event()
        registry = MetricRegistry(ports.clock)
        driver = InlineDriver(ports.clock, wakeup)
        store, state_backend = self._open_store(job.job_name), self._state_backend()
        check_armed()
        local = LocalJob(job.job_name, ports, registry, wakeup, driver, store)
        self._restored_store = store
        token = ports.random.fork(f"leader at {ports.clock.now_ms()}, {ports.clock.monotonic_s()}").token()
        completed = CompletedCheckpoints(store, job.job_name, self._settings.checkpoint.retained, token)
        with job_logging_scope(job.job_name), completed.storage_errors():
            resumption = self._resumption(job, completed)
            resumption.check()
            completed.acquire_leadership()
            start = resumption.decide()
        if isinstance(start, AlreadyEnded):
            local.ended_run = start.run_id
            log.info("run %s of job %s had ended before; it is cleaned up, and the next start begins a new run", start.run_id, job.job_name)
            return local
        local.reporting = Reporting(registry, make_reporters(self._plugins, self._settings.metrics.reporters))
        local.report_every_s = self._settings.metrics.report_interval.total_seconds()
        savepoints = SavepointStores(lambda location: find_checkpoint_storage(self._plugins, location), ports.storage)
        task_manager = TaskManager(ports, registry, store, self._restored_store, savepoints, wakeup.set)
        local.task_manager = driver.task_manager = task_manager
        processes = self._processes(job, local)
        local.job_manager = driver.job_manager = JobManager(
            job,
            self._settings,
            local.ports,
            completed,
            processes or self._cluster(task_manager),
            state_backend,
            start,
            self._plugins.notice,
            wakeup.set,
            Savepoints(self._plugins, ports.storage, ports.clock, self._settings.checkpoint.savepoint_dir),
        )
        return local

    def _processes(self, job: JobGraph, local: LocalJob) -> ClusterBackend | None:
        """The TaskManager processes, if the settings ask for them."""
        count = self._settings.execution.processes
        if count is None or not self._real:
            return None
        from millstream.runtime.processes.backend import ProcessClusterBackend  # a job in one process needs none of this
        from millstream.runtime.processes.metrics import MetricsMirror
        from millstream.runtime.processes.set_up import SetUp
        from millstream.runtime.processes.transports import RoutingTransport

        transport, mirror = RoutingTransport(), MetricsMirror(local.registry)
        local.ports = replace(local.ports, transport=transport)
        local.mirror = mirror
        storage = self._storage if self._storage is not None and self._storage.durable else None
        level = logging.getLevelName(logging.getLogger().level) if is_configured() else None
        set_up = SetUp(job.job_name, self._settings.execution, storage, self._restored, level)
        return ProcessClusterBackend(count, set_up, local.ports.clock, transport, local.store, mirror)

    def _open_store(self, job_name: str) -> CheckpointStore:
        config = self._settings.checkpoint
        if config.interval is None and config.storage is None:
            return EphemeralStore()
        if config.storage is None:
            raise NoDurableStorage(job_name=job_name)
        storage = self._storage = find_checkpoint_storage(self._plugins, config.storage)
        return storage.open(CheckpointStorageContext(job_name, self._ports.storage))

    def _state_backend(self) -> StateBackend:
        backend: StateBackend = self._plugins.find("state_backend", self._settings.state.backend).load()()
        return backend

    def _resumption(self, job: JobGraph, completed: CompletedCheckpoints) -> Resumption:
        return Resumption(
            self._settings.job,
            job.job_name,
            completed,
            self._open_path,
            # With a fixed seed too, no two runs may have one id: the markers of exactly-once sinks carry it.
            lambda before: self._ports.random.fork(f"run after {before}, {completed.store.highest_id()} at {self._ports.clock.now_ms()}").token(),
            lambda run_id: forget_run(job, run_id, self._ports.storage),
            lambda manifest, where: self._fit_of(job, manifest, where),
            keep_on_finish=self._settings.checkpoint.keep_on_finish,
            takes_over=self._takes_over,
        )

    def _fit_of(self, job: JobGraph, manifest: Manifest, where: str) -> Fit:
        store = self._restored_store
        allow = self._settings.job.allow_non_restored_state
        return fit_of(manifest, job, where, lambda ref: read_state_file(store, manifest.checkpoint_id, ref), allow_non_restored_state=allow)

    def _open_path(self, path: str) -> tuple[Manifest, str]:
        kept = self._settings.checkpoint.storage or ""
        # A savepoint may lie in another kind of storage than the checkpoints.
        same = _scheme(kept) == _scheme(path) and kept != "memory"
        storage = find_checkpoint_storage(self._plugins, kept if kept and same else path)
        store, checkpoint_id = storage.find(path, self._ports.storage)
        self._restored_store, self._restored = store, (storage, path)
        return CompletedCheckpoints(store, "", 1).read(checkpoint_id), store.location(checkpoint_id)


def _scheme(location: str) -> str:
    scheme, separator, _ = location.partition("://")
    return scheme if separator and scheme != "file" else ""


def freeze_garbage_collector(settings: Settings) -> bool:
    """Takes what lives now out of the cyclic collector's sight, if the settings say so."""
    if settings.execution.gc_freeze:
        gc.collect()
        gc.freeze()
    return settings.execution.gc_freeze
