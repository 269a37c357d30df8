"""The cluster backend of the simulation: TaskManagers in processes of their own, which are lost, stand still, and end as real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.contracts.cluster_backend import ClusterBackend, Slot
from millstream.errors import JobNotSendable, MillstreamError
from millstream.runtime import user_code
from millstream.testing.connection import connect
from millstream.testing.task_manager import Deploy, SimulatedTaskManager

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.runtime.deployment import TaskDeployment
    from millstream.testing.life import Life
    from millstream.testing.task_manager import Stores

_NOTICED_S: Final = 0.1
"""Longest time from the end of a process to the moment at which its JobManager knows."""

_LINGERING: Final = (0, 2, 12)
"""Turns that everybody takes between the word to end and the end of a process, at most."""


class SimulatedCluster(ClusterBackend):
    """What `millstream.runtime.processes.backend` does, without processes.

    Args:
        life: the program whose JobManager this belongs to.
        processes: at most so many at a time.
        stores: where their tasks find checkpoints.
        silence_s: one that gives no sign of life for so long is killed.
    """

    def __init__(self, life: Life, processes: int, stores: Stores, silence_s: float) -> None:
        self._life = life
        self._world = life.world
        self._processes = processes
        self._stores = stores
        self._silence_s = silence_s
        self._random = life.world.random(f"cluster/{life.name}")
        self._listener: Callable[[str, str], None] = lambda task_manager, reason: None
        self._grants = 0
        self._running: dict[str, SimulatedTaskManager] = {}
        self._losses: list[tuple[float, str, str]] = []

    def acquire(self, count: int) -> Sequence[Slot]:
        self._grants += 1
        processes = min(self._processes - len(self._running), count)
        names = [f"worker-{self._grants}-{number}" for number in range(processes)]
        life, world = self._life, self._world
        group = {name: SimulatedTaskManager(f"{life.name}/{name}", name, world, life.plan, life.network, self._stores) for name in names}
        for number, name in enumerate(names):
            for other in names[number + 1 :]:
                here, there = connect(world, group[name].name, group[other].name)
                group[name].connections[other], group[other].connections[name] = here, there
        self._running |= group
        life.task_managers.extend(group.values())
        # Neighbouring slots share a process.
        return [Slot(f"{name}/{slot}", name, str(self._grants)) for slot in range(count) for name in [names[slot * processes // count]]]

    def deploy(self, slot: Slot, deployment: TaskDeployment) -> None:
        try:
            code = user_code.dumps(deployment)
        except MillstreamError:
            raise
        except Exception as error:  # whatever the user's objects say to being pickled
            reason = f"{type(error).__name__}: {error}"
            raise JobNotSendable(job=deployment.job_name, task=deployment.vertex.name, reason=reason) from error
        self._life.network.send_surely("cluster", self._running[slot.task_manager].address, Deploy(code))

    def kill(self, slot: Slot, task_address: str) -> None:
        self._end([slot], cancel=True)

    def kill_all(self, tasks: Sequence[tuple[Slot, str]]) -> None:
        self._end([slot for slot, _ in tasks], cancel=True)

    def release(self, slots: Sequence[Slot]) -> None:
        self._end(slots, cancel=False)

    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        self._listener = listener

    def _end(self, slots: Sequence[Slot], *, cancel: bool) -> None:
        names = sorted({slot.task_manager for slot in slots} & self._running.keys())
        group = [self._running.pop(name) for name in names]
        self._losses = [loss for loss in self._losses if loss[1] not in names]
        if not group:
            return
        # What they are at goes on until they hear of it: messages of the attempt that is given up, and its work on the storage and on sinks.
        self._life.let_others_go_on(self._random.below(1 + _LINGERING[self._random.below(len(_LINGERING))]))
        for process in group:
            if process.dead:
                continue
            if process.busy or self._random.below(8) == 0:
                process.die("the kill of its attempt")
            else:
                process.leave(cancel=cancel)
            self._life.let_others_go_on(self._random.below(3))

    # --- what the hub's thread does

    def died(self, process: SimulatedTaskManager, reason: str) -> None:
        """A process has ended that nobody has told to. What it said before comes first."""
        if self._running.get(process.peer_name) is process:
            due_s = self._life.network.arrived_s(process) + self._random.random() * _NOTICED_S
            self._losses.append((due_s, process.peer_name, reason))

    def next_due_s(self) -> float | None:
        """When the next loss is noticed, or the next silence has lasted long enough."""
        due = [due_s for due_s, _, _ in self._losses]
        due.extend(self._given_up_s(process) for process in self._silent())
        return min(due, default=None)

    def run_once(self) -> bool:
        """Notices one loss. False when there was none."""
        now_s = self._world.clock.now_s
        for process in self._silent():
            if self._given_up_s(process) <= now_s:
                self._world.injected["given up"] += 1
                process.die("the end of the JobManager's patience")
                self.died(process, f"it gave no sign of life for {self._silence_s:g} s (execution.heartbeat_timeout)")
                return True
        for number, (due_s, name, reason) in enumerate(self._losses):
            if due_s <= now_s:
                del self._losses[number]
                self._world.injected["loss noticed"] += 1
                self._listener(name, reason)
                return True
        return False

    def _silent(self) -> list[SimulatedTaskManager]:
        return [process for process in self._running.values() if process.stopped_s is not None and not process.dead]

    def _given_up_s(self, process: SimulatedTaskManager) -> float:
        # A JobManager that stood still itself does not blame others for it.
        return max(process.stopped_s or 0.0, self._life.resumed_s) + self._silence_s
