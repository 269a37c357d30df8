"""The Transport port of one life of a simulated process: messages take their time, and some get lost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from millstream.checkpoint.messages import (
    CheckpointAborted,
    CheckpointAcknowledged,
    CheckpointCompleted,
    CheckpointDeclined,
    EndSources,
    SavepointCompleted,
    TriggerCheckpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.testing.world import World

_NOTIFICATIONS: Final = (CheckpointCompleted, CheckpointAborted, SavepointCompleted)
_REQUESTS: Final = (TriggerCheckpoint, CheckpointAcknowledged, CheckpointDeclined, EndSources)
_QUICK_S: Final = 0.002
_SLOW_S: Final = 0.05
_LATE_S: Final = 2.0


class SimulatedTransport:
    """Delivers in order for each pair of sender and receiver, whenever the simulation says so.

    A copy of a doubled notification travels on its own, so it may be overtaken by anything.
    """

    def __init__(self, world: World, life: int) -> None:
        self._world = world
        self._random = world.random(f"transport/{life}")
        self._receivers: dict[str, Callable[[Any], None]] = {}
        self._queues: dict[tuple[str, str], deque[tuple[float, Any]]] = {}
        self._copies: list[tuple[float, str, Any]] = []

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._receivers[address] = receive

    def unbind(self, address: str) -> None:
        self._receivers.pop(address, None)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        faults, random = self._world.faults, self._random
        if isinstance(message, _NOTIFICATIONS):
            if self._happens(faults.lost, "lost", message):
                return
            if self._happens(faults.doubled, "doubled", message):
                self._copies.append((self._now_s() + random.random() * _LATE_S, receiver, message))
        elif isinstance(message, _REQUESTS) and self._happens(faults.lost_requests, "lost request", message):
            return
        delay_s = random.random() * (_SLOW_S if random.below(20) == 0 else _QUICK_S)
        if isinstance(message, _NOTIFICATIONS) and self._happens(faults.late, "late", message):
            delay_s += random.random() * _LATE_S
        queue = self._queues.setdefault((sender, receiver), deque())
        earliest_s = queue[-1][0] if queue else 0.0
        queue.append((max(earliest_s, self._now_s() + delay_s), message))

    def _now_s(self) -> float:
        return self._world.clock.now_s

    def _happens(self, share: float, what: str, message: Any) -> bool:
        if share and self._random.random() < share:
            self._world.injected[what] += 1
            self._world.note(f"{what} {type(message).__name__}")
            return True
        return False

    # --- driven by the simulation

    def next_due_s(self) -> float | None:
        """When the next message arrives; None when none is under way."""
        heads = [queue[0][0] for queue in self._queues.values() if queue]
        heads.extend(due_s for due_s, _, _ in self._copies)
        return min(heads, default=None)

    def run_once(self) -> bool:
        """Delivers one message that is due. False when there is none."""
        now_s = self._now_s()
        due = [pair for pair, queue in self._queues.items() if queue and queue[0][0] <= now_s]
        copies = [number for number, copy in enumerate(self._copies) if copy[0] <= now_s]
        if not due and not copies:
            return False
        choice = self._random.below(len(due) + len(copies))
        if choice < len(due):
            receiver = due[choice][1]
            _, message = self._queues[due[choice]].popleft()
        else:
            _, receiver, message = self._copies.pop(copies[choice - len(due)])
        receive = self._receivers.get(receiver)
        self._world.note(f"{type(message).__name__} to {receiver}{'' if receive else ', who is gone'}")
        if receive is not None:
            receive(message)
        return True
