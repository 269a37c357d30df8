"""A TaskManager process: its main thread gives tasks their turns, moves what goes between processes, and waits."""

from __future__ import annotations

import gc
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import JobCodeUnusable, MillstreamError
from millstream.graph.execution_graph import ExecutionState, task_address
from millstream.plugins import default_manager
from millstream.ports import LocalStorage, SeededRandom, SystemClock, ThreadExecutor
from millstream.runtime import user_code
from millstream.runtime.collector import THRESHOLDS
from millstream.runtime.deployment import Ports
from millstream.runtime.driver import LONGEST_WAIT_S
from millstream.runtime.log import configure_logging
from millstream.runtime.messages import JOB_MANAGER, TaskStateChanged
from millstream.runtime.metrics import MetricRegistry
from millstream.runtime.processes.asked_store import AskedStore
from millstream.runtime.processes.connection import Connection
from millstream.runtime.processes.control import ControlLink
from millstream.runtime.processes.frames import Kind
from millstream.runtime.processes.metrics import MetricsSender
from millstream.runtime.processes.remote_exchange import RemoteExchange
from millstream.runtime.processes.task_store import TaskStore, note_outcome, open_task_store
from millstream.runtime.processes.transports import TaskTransport
from millstream.runtime.processes.wakeup import Wakeup
from millstream.runtime.savepoints import SavepointStores
from millstream.runtime.storages import find_checkpoint_storage
from millstream.runtime.task_manager import TaskManager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.graph.execution_graph import SubtaskId
    from millstream.runtime.processes.frames import Frame
    from millstream.runtime.processes.set_up import Program, SetUp

METRICS_EVERY_S: Final = 0.5
_BROKEN: Final = 1


def main(argument: str) -> None:
    """The whole life of the process.

    Args:
        argument: JSON: its name, and the file descriptors of its connections.
    """
    # Ctrl-C goes to every process of a terminal, and some supervisors end every process of a group: it is for the JobManager to stop the job.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    user_code.enter_worker()
    told = json.loads(argument)
    peers = {name: Connection(socket.socket(fileno=number)) for name, number in told["peers"].items()}
    worker = Worker(told["name"], socket.socket(fileno=told["control"]), peers)
    sys.exit(worker.run())


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Worker:
    """One process's tasks.

    Args:
        control: to the JobManager.
        peers: to the other TaskManagers.
    """

    def __init__(self, name: str, control: socket.socket, peers: Mapping[str, Connection]) -> None:
        self._wakeup = Wakeup()
        self._control = ControlLink(control, self._wakeup.wake)
        self._peers = peers
        self._exchange = RemoteExchange(name, peers)
        self._clock = SystemClock()
        self._registry = MetricRegistry(self._clock)
        self._metrics = MetricsSender(self._registry)
        self._metrics_due_s = 0.0
        self._transport = TaskTransport(self._control, self._send_metrics, self._names_of)
        self._executor = ThreadExecutor()
        self._store: TaskStore | None = None
        self._tasks: TaskManager | None = None
        self._trouble: MillstreamError | None = None
        self._leaving = False

    def run(self) -> int:
        """Works until told to leave. Returns the exit code."""
        self._control.start()
        try:
            while not self._leaving:
                if not self._step():
                    self._wait()
        except BaseException as error:  # noqa: BLE001 - also a SystemExit of a user function: the process ends, and says why
            self._control.send(Kind.BROKEN, f"its process was ended by {type(error).__name__}: {error}".encode("utf-8", "replace"))
            return _BROKEN
        self._send_metrics()
        return 0

    def _step(self) -> bool:
        progressed = False
        inbox = self._control.inbox
        while inbox:
            self._handle(inbox.popleft())
            progressed = True
        if self._tasks is not None:
            for task in self._tasks.tasks:
                if task.run_once():
                    progressed = True
        if self._exchange.pump():
            progressed = True
        if self._clock.monotonic_s() >= self._metrics_due_s:
            self._send_metrics()
        return progressed

    def _wait(self) -> None:
        due = [self._metrics_due_s]
        if self._tasks is not None:
            due.extend(moment for task in self._tasks.tasks if (moment := task.next_due_s()) is not None)
        self._wakeup.wait(self._peers.values(), min(min(due) - self._clock.monotonic_s(), LONGEST_WAIT_S))

    def _names_of(self, subtask: SubtaskId) -> tuple[str, str]:
        tasks = self._tasks.tasks if self._tasks is not None else []
        return next(((task.deployment.vertex.name, task.deployment.job_name) for task in tasks if task.subtask == subtask), ("", ""))

    def _send_metrics(self) -> None:
        self._metrics_due_s = self._clock.monotonic_s() + METRICS_EVERY_S
        report = self._metrics.changes()
        if report is not None:
            self._control.send(Kind.METRICS, report)

    # --- what the JobManager says

    def _handle(self, frame: Frame) -> None:
        if frame.kind is Kind.SET_UP:
            self._set_up(user_code.loads(frame.payload))
        elif frame.kind is Kind.DEPLOY:
            self._deploy(*user_code.loads(frame.payload))
        elif frame.kind is Kind.MESSAGE:
            message = self._transport.deliver(frame.payload)
            if self._store is not None:
                note_outcome(self._store, self._executor, message)
        elif frame.kind is Kind.CANCEL:
            if self._tasks is not None:
                self._tasks.cancel_all()
            self._leaving = True
        elif frame.kind is Kind.LEAVE:
            self._leaving = True

    def _set_up(self, program: Program) -> None:
        what = "the script of the job"
        try:
            user_code.import_main(program.main)
            what = "its settings"
            self._begin(user_code.loads(program.set_up))
        except MillstreamError as error:
            self._trouble = error
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's script; told when a task is deployed, as that task's failure
            self._trouble = JobCodeUnusable.of(error, what=what, job=program.job_name)
        finally:
            gc.enable()

    def _begin(self, set_up: SetUp) -> None:
        if set_up.log_level is not None:
            configure_logging(set_up.log_level)
        if set_up.options.gc_freeze:
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)
        storage = LocalStorage()
        ports = Ports(self._clock, SeededRandom(set_up.options.seed), self._transport, storage, self._executor)
        store = restored = None
        if set_up.storage is not None:
            store = self._store = open_task_store(set_up.storage, CheckpointStorageContext(set_up.job_name, storage))
        if set_up.restored is not None:
            restored, _ = set_up.restored[0].find(set_up.restored[1], storage)
        asked = AskedStore(self._control.ask)
        savepoints = SavepointStores(lambda location: find_checkpoint_storage(default_manager(), location), storage)
        self._tasks = TaskManager(ports, self._registry, store or asked, restored or store or asked, savepoints, self._wakeup.wake)

    def _deploy(self, subtask: SubtaskId, attempt: int, job: str, task: str, code: bytes) -> None:
        trouble, deployment = self._trouble, None
        if trouble is None:
            try:
                deployment = user_code.loads(code)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's modules
                trouble = JobCodeUnusable.of(error, what=f"task {task!r}", job=job)
        if deployment is None or self._tasks is None:
            self._transport.send(task_address(subtask, attempt), JOB_MANAGER, TaskStateChanged(subtask, attempt, ExecutionState.FAILED, trouble))
            return
        self._tasks.deploy(deployment, self._exchange.of(deployment))
