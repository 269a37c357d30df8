"""The Transport ports of one life of a program: messages take their time, some get lost, some come twice."""

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
from millstream.runtime import user_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.testing.process import SimulatedProcess
    from millstream.testing.world import World

_NOTIFICATIONS: Final = (CheckpointCompleted, CheckpointAborted, SavepointCompleted)
_REQUESTS: Final = (TriggerCheckpoint, CheckpointAcknowledged, CheckpointDeclined, EndSources)
_QUICK_S: Final = 0.002
_SLOW_S: Final = 0.05
_LATE_S: Final = 2.0


class Network:
    """Delivers in order for each pair of sender and receiver, whenever the simulation says so.

    The copy of a doubled message sets off when that arrives, and travels on its own: it may come much later than what was sent after it.
    What a process has sent arrives also when it is dead; what is sent to a dead one is lost.

    Args:
        world: decides, and takes down.
        name: of the program's life.
        copies: messages go from one process to another, so that neither shares objects with the other.
    """

    def __init__(self, world: World, name: str, *, copies: bool) -> None:
        self._world = world
        self._random = world.random(f"transport/{name}")
        self._copies_messages = copies
        self._ends: dict[str, NetworkEnd] = {}
        self._queues: dict[tuple[str, str], deque[tuple[float, Any, bool]]] = {}
        self._copies: list[tuple[float, str, Any]] = []

    def end(self, process: SimulatedProcess) -> NetworkEnd:
        """The Transport of one process."""
        return NetworkEnd(self, process)

    def bind(self, address: str, end: NetworkEnd) -> None:
        """Messages to the address go there."""
        self._ends[address] = end

    def unbind(self, address: str, end: NetworkEnd) -> None:
        """No longer."""
        if self._ends.get(address) is end:
            del self._ends[address]

    def send(self, sender: str, receiver: str, message: Any) -> None:
        """Puts a message on its way, or not."""
        faults, random = self._world.faults, self._random
        notification = isinstance(message, _NOTIFICATIONS)
        if notification and self._happens(faults.lost, "lost", message):
            return
        if isinstance(message, _REQUESTS) and self._happens(faults.lost_requests, "lost request", message):
            return
        what = "doubled" if notification else "doubled message"
        doubled = self._happens(faults.doubled if notification else faults.doubled_messages, what, message)
        late_s = 0.0
        if self._happens(faults.late if notification else faults.late_messages, "late" if notification else "late message", message):
            late_s = random.random() * _LATE_S
        self.send_surely(sender, receiver, message, late_s, doubled=doubled)

    def send_surely(self, sender: str, receiver: str, message: Any, late_s: float = 0.0, *, doubled: bool = False) -> None:
        """Puts a message on its way, which takes its time, and `late_s` more; it comes twice if it is doubled."""
        random = self._random
        delay_s = late_s + random.random() * (_SLOW_S if random.below(20) == 0 else _QUICK_S)
        queue = self._queues.setdefault((sender, receiver), deque())
        earliest_s = queue[-1][0] if queue else 0.0
        queue.append((max(earliest_s, self._now_s() + delay_s), self._sent(message), doubled))

    def arrived_s(self, process: SimulatedProcess) -> float:
        """When the last of what a process has sent is there."""
        theirs = {address for address, end in self._ends.items() if end.process is process}
        return max((queue[-1][0] for (sender, _), queue in self._queues.items() if queue and sender in theirs), default=self._now_s())

    def _sent(self, message: Any) -> Any:
        return copy_of(message) if self._copies_messages else message

    def _now_s(self) -> float:
        return self._world.clock.now_s

    def _happens(self, share: float, what: str, message: Any) -> bool:
        calm = self._world.calm or self._now_s() >= self._world.faults.calm_after_s
        if share and not calm and self._random.random() < share:
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
            queue = self._queues[due[choice]]
            _, message, doubled = queue.popleft()
            if doubled:
                self._copies.append((now_s + self._random.random() * _LATE_S, receiver, self._sent(message)))
            if not queue:
                del self._queues[due[choice]]
        else:
            _, receiver, message = self._copies.pop(copies[choice - len(due)])
        end = self._ends.get(receiver)
        if end is not None and end.process.dead:
            end = None
        self._world.note(f"{type(message).__name__} to {receiver}{'' if end else ', who is gone'}")
        if end is not None:
            end.arrive(receiver, message)
        return True


class NetworkEnd:
    """The Transport port of one process.

    Attributes:
        arrive: takes a message that has come; by default it is given to its receiver at once.
    """

    def __init__(self, network: Network, process: SimulatedProcess) -> None:
        self._network = network
        self.process = process
        self._receivers: dict[str, Callable[[Any], None]] = {}
        self.arrive: Callable[[str, Any], None] = self.deliver

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._receivers[address] = receive
        self._network.bind(address, self)

    def unbind(self, address: str) -> None:
        # The network goes on to know whose address it was: what comes for it is dropped here.
        self._receivers.pop(address, None)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        self._network.send(sender, receiver, message)

    def deliver(self, address: str, message: Any) -> None:
        """To whoever has that address."""
        receive = self._receivers.get(address)
        if receive is not None:
            receive(message)


def copy_of(message: Any) -> Any:
    """The message as another process would get it."""
    return user_code.loads(user_code.dumps(message))
