"""The `embedded` cluster backend with several processes on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.contracts.cluster_backend import ClusterBackend, Slot
from millstream.errors import JobNotSendable, MillstreamError
from millstream.graph.execution_graph import task_address
from millstream.runtime import user_code
from millstream.runtime.processes.frames import Kind
from millstream.runtime.processes.group import ProcessGroup
from millstream.runtime.processes.hub import ControlHub
from millstream.runtime.processes.set_up import Program, SetUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore
    from millstream.ports import Clock
    from millstream.runtime.deployment import TaskDeployment
    from millstream.runtime.processes.metrics import MetricsMirror
    from millstream.runtime.processes.transports import RoutingTransport

KILL_S: Final = 1.0
"""How long a process that is to be killed may take to close what its tasks have opened."""

LEAVE_S: Final = 10.0
"""How long a process whose tasks have ended may take to end."""


class ProcessClusterBackend(ClusterBackend):
    """Slots in TaskManager processes. Each attempt has new ones, which end with it; so has each part of the job that is restarted alone.

    Args:
        processes: at most so many; fewer where there are fewer slots.
        set_up: what each is told.
        transport: brings messages to tasks and back.
        store: checkpoints of the job, for processes that do not reach them themselves.
        metrics: takes what the processes count.
    """

    def __init__(
        self, processes: int, set_up: SetUp, clock: Clock, transport: RoutingTransport, store: CheckpointStore, metrics: MetricsMirror
    ) -> None:
        self._processes = processes
        self._set_up = set_up
        self._clock = clock
        self._transport = transport
        self._store = store
        self._metrics = metrics
        self._listener: Callable[[str, str], None] = lambda task_manager, reason: None
        self._grants = 0
        self._groups: list[ProcessGroup] = []

    def acquire(self, count: int) -> Sequence[Slot]:
        self._grants += 1
        running = sum(len(group.workers) for group in self._groups)
        processes = min(self._processes - running, count)
        names = [f"worker-{self._grants}-{number}" for number in range(processes)]
        job, options = self._set_up.job_name, self._set_up.options
        program = user_code.dumps(Program(job, user_code.main_module(), user_code.dumps(self._set_up)))
        silence_s = options.heartbeat_timeout.total_seconds()
        hub = ControlHub(self._clock, self._store, self._transport.deliver, self._metrics.receive, self._lost, silence_s)
        if not self._groups:
            self._transport.set_routes({})
        self._groups.append(ProcessGroup(names, hub, program, self._clock))
        # Neighbouring slots share a process.
        return [Slot(f"{name}/{slot}", name, str(self._grants)) for slot in range(count) for name in [names[slot * processes // count]]]

    def deploy(self, slot: Slot, deployment: TaskDeployment) -> None:
        group = next(group for group in self._groups if slot.task_manager in group.workers)
        subtask, attempt = deployment.subtask_id, deployment.attempt
        job, task = deployment.job_name, deployment.vertex.name
        try:
            code = user_code.dumps(deployment)
        except MillstreamError:
            raise
        except Exception as error:  # whatever the user's objects say to being pickled
            raise JobNotSendable(job=job, task=task, reason=f"{type(error).__name__}: {error}") from error
        self._transport.route(task_address(subtask, attempt), lambda payload: group.send(slot.task_manager, Kind.MESSAGE, payload))
        group.send(slot.task_manager, Kind.DEPLOY, user_code.dumps((subtask, attempt, job, task, code)))

    def kill(self, slot: Slot, task_address: str) -> None:
        self._end([slot], Kind.CANCEL, KILL_S)

    def kill_all(self, tasks: Sequence[tuple[Slot, str]]) -> None:
        self._end([slot for slot, _ in tasks], Kind.CANCEL, KILL_S)

    def release(self, slots: Sequence[Slot]) -> None:
        self._end(slots, Kind.LEAVE, LEAVE_S)

    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        self._listener = listener

    def _lost(self, task_manager: str, reason: str) -> None:
        self._listener(task_manager, reason)

    def _end(self, slots: Sequence[Slot], word: Kind, grace_s: float) -> None:
        names = {slot.task_manager for slot in slots}
        for group in self._groups:
            group.tell_to_end(names, word)
        deadline_s = self._clock.monotonic_s() + grace_s
        for group in self._groups:
            group.wait_for_end(deadline_s)
        self._groups = [group for group in self._groups if group.workers]
