"""The coordinator's side of a source: its enumerator, for one attempt of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.contracts.source import EnumeratorContext, Source, Split
from millstream.graph.execution_graph import SubtaskId
from millstream.runtime.assigned_splits import AssignedSplits
from millstream.runtime.messages import FromEnumerator, FromReader, NoMoreSplits, NoSplitsYet, SplitsAssigned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.runtime.deployment import Ports


class SourceCoordinator:
    """Keeps an enumerator and its readers in touch.

    Requests that come before all readers run are kept until then, so that no assignment can be lost on the way to a reader that is not
    there yet.

    Args:
        vertex: the source's vertex; an attribute, too.
        send: a message to a subtask of the current attempt.
        call_later: runs a function on the JobManager's thread after so many seconds, in this attempt only.
    """

    def __init__(
        self,
        uid: str,
        source: Source[Any],
        vertex: int,
        parallelism: int,
        state: bytes | None,
        ports: Ports,
        send: Callable[[SubtaskId, object], None],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.uid = uid
        self._started = False
        self.vertex = vertex
        self._send = send
        self._heard: dict[int, int] = {}  # number of the last message, by subtask
        self._waiting: list[FromReader] = []
        self._held: dict[int, list[object]] = {}  # for readers that are restarted, until they run
        self._assigned = AssignedSplits()
        self._enumerator = source.create_enumerator(_Context(self._tell, parallelism, ports, call_later, self._assigned), state)

    def start(self) -> None:
        """All readers run."""
        self._started = True
        self._enumerator.start()
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.receive(message)

    def receive(self, message: FromReader) -> None:
        """A reader asks for a split, or says something of the connector's own. What has come before changes nothing."""
        if not self._started:
            self._waiting.append(message)
            return
        subtask = message.subtask.subtask
        if message.number <= self._heard.get(subtask, 0):
            return
        self._heard[subtask] = message.number
        if message.message is None:
            self._enumerator.handle_split_request(subtask)
        else:
            self._enumerator.receive(subtask, message.message)

    def snapshot(self, checkpoint_id: int) -> bytes:
        """State of the enumerator."""
        state = self._enumerator.snapshot(checkpoint_id)
        self._assigned.checkpoint(checkpoint_id)
        return state

    def completed(self, checkpoint_id: int) -> None:
        """A checkpoint is durable."""
        self._assigned.completed(checkpoint_id)

    def restart_reader(self, subtask: int, restored_id: int | None) -> None:
        """A reader is about to be restored, alone, from that checkpoint: what it was given since goes back to the enumerator.

        None: from what the attempt began with.
        """
        self._heard.pop(subtask, None)
        self._held[subtask] = []
        self._enumerator.add_splits_back(self._assigned.take_back(subtask, restored_id), subtask)

    def reader_runs(self, subtask: int) -> None:
        """A reader that was restarted can be told things again."""
        for message in self._held.pop(subtask, ()):
            self._tell(subtask, message)

    def _tell(self, subtask: int, message: object) -> None:
        if subtask in self._held:
            self._held[subtask].append(message)
        else:
            self._send(SubtaskId(self.vertex, subtask), message)

    def close(self) -> None:
        """The attempt is over."""
        self._enumerator.close()


class _Context(EnumeratorContext):
    def __init__(
        self,
        tell: Callable[[int, object], None],
        parallelism: int,
        ports: Ports,
        call_later: Callable[[float, Callable[[], None]], None],
        assigned: AssignedSplits,
    ) -> None:
        self._tell = tell
        self._said: dict[int, int] = {}
        self._assigned = assigned
        self._call_later = call_later
        self.parallelism = parallelism
        self.clock = ports.clock
        self.random = ports.random
        self.storage = ports.storage
        self.executor = ports.executor

    def _number(self, subtask: int) -> int:
        number = self._said[subtask] = self._said.get(subtask, 0) + 1
        return number

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        self._assigned.add(subtask, splits)
        self._tell(subtask, SplitsAssigned(list(splits), self._number(subtask)))

    def no_more_splits(self, subtask: int) -> None:
        self._tell(subtask, NoMoreSplits(self._number(subtask)))

    def no_splits_yet(self, subtask: int) -> None:
        self._tell(subtask, NoSplitsYet(self._number(subtask)))

    def send_to_reader(self, subtask: int, message: bytes) -> None:
        self._tell(subtask, FromEnumerator(message, self._number(subtask)))

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._call_later(delay_s, action)
