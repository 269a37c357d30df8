"""Sources: a split enumerator beside the coordinator, and a reader in each source subtask.

A split is in exactly one place at any checkpoint: with the enumerator, or with one reader. Positions live in the checkpoint only;
offsets that a reader commits elsewhere are information for others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from millstream.contracts.versions import check_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.guarantee import SourceCapabilities
    from millstream.contracts.metrics import MetricGroup
    from millstream.ports import Clock, Executor, Random, Storage

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Split(msgspec.Struct, frozen=True):
    """A part of the input that one reader reads in order.

    Attributes:
        split_id: unique within the source, for example the path of a file or the name and number of a partition.
        data: what the reader needs to find it and go on from its position: plain data (None, bool, int, float, str, bytes, lists
            and dicts with str keys).
        version: of the layout of `data`, the connector's own: raise it when a key gets another meaning, and read the lower ones.
    """

    split_id: str
    data: dict[str, Any]
    version: int = 1

    def check_version(self, known: int = 1) -> None:
        """Raises UnknownStateVersion when the layout is one of a later release; `known` is the highest that is read."""
        check_version(f"The position of split {self.split_id!r}", self.version, known)


class Rejected(msgspec.Struct, frozen=True):
    """A piece of input that is not a record.

    Attributes:
        position: where it stands, for people: `readings.csv, line 17, column 3`.
        raw: the bytes as they were read.
        error: what is wrong with them, one sentence.
        headers: name and value of each header of the message, in order.
    """

    position: str
    raw: bytes
    error: str
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Fetched(Generic[T]):
    """What one call of `fetch` brought.

    Attributes:
        split_id: the split all of it comes from.
        values: records in order; may be empty when everything was rejected.
        timestamps: event times in ms that the origin knows, or None.
        rejected: input that could not be decoded; the source operator applies the `on_error` policy to it.
    """

    split_id: str
    values: list[T]
    timestamps: list[int] | None = None
    rejected: list[Rejected] = field(default_factory=list)


class ReaderContext(Protocol):
    """What a reader may use.

    Attributes:
        subtask: 0-based index of the source subtask.
        parallelism: number of source subtasks.
        metrics: metrics of this subtask.
    """

    subtask: int
    parallelism: int
    clock: Clock
    random: Random
    storage: Storage
    executor: Executor
    metrics: MetricGroup

    def wake(self) -> None:
        """Records may be there now: call `fetch` again. Safe from any thread."""

    def request_split(self) -> None:
        """Asks the enumerator for one more split."""

    def send_to_enumerator(self, message: bytes) -> None:
        """Sends a message of the connector's own to its enumerator."""


class SourceReader(ABC, Generic[T]):
    """Reads the splits assigned to one subtask. Called on the mailbox thread only, and must not block there.

    Attributes:
        pauses_splits: it has `pause_or_resume_splits`. Without, watermark alignment makes the reader wait as a whole.
    """

    pauses_splits: ClassVar[bool] = False

    def start(self) -> None:
        """Called once, after restored splits were added. Typically requests a split when it has none."""

    @abstractmethod
    def add_splits(self, splits: Sequence[Split]) -> None:
        """Takes over splits, at the positions they carry."""

    @abstractmethod
    def no_more_splits(self) -> None:
        """No split will come any more: the reader ends when it has read what it has."""

    @abstractmethod
    def fetch(self, max_records: int) -> Fetched[T] | None:
        """The next records, at most `max_records` and all of one split; None when there are none just now.

        After None the reader calls `context.wake()` when it has more, or tells by `ready_at_s` when it will.
        """

    def ready_at_s(self) -> float | None:
        """Monotonic time at which `fetch` is worth another call; None to wait for `wake()`."""
        return None

    def position(self, split_id: str) -> str:
        """Where the records of the last `fetch` stand, for people: `readings.csv, lines 1 to 1,000`. Empty for no more than the split.

        Asked only when one of them has failed, while they are still being processed.
        """
        return ""

    @abstractmethod
    def finished(self) -> bool:
        """Whether nothing will ever come again: no splits left and none to come."""

    def finished_splits(self) -> Sequence[str]:
        """Ids of splits read to their end since the last call: they stop holding the watermark back."""
        return ()

    @abstractmethod
    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        """The splits not read to their end, each with its position just behind the last record fetched.

        What is returned must not change when reading goes on.
        """

    def pause_or_resume_splits(self, pause: Sequence[str], resume: Sequence[str]) -> None:
        """Watermark alignment: reads no more of some splits, and goes on with others. What is fetched already may still come."""

    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        """The checkpoint is durable. May be late, missing or repeated; best effort, must not fail the job."""

    def receive(self, message: bytes) -> None:
        """A message of the connector's own enumerator."""

    def close(self) -> None:
        """Releases everything; returns within seconds even if a call to the outside hangs."""


class EnumeratorContext(Protocol):
    """What an enumerator may use.

    Attributes:
        parallelism: number of readers.
    """

    parallelism: int
    clock: Clock
    random: Random
    storage: Storage
    executor: Executor

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        """Gives splits to a reader. From then on they are the reader's."""

    def no_more_splits(self, subtask: int) -> None:
        """Tells a reader that it has all it will get."""

    def no_splits_yet(self, subtask: int) -> None:
        """Tells a reader that there is nothing for it now, but may be later: without a split it holds no watermark back meanwhile."""

    def send_to_reader(self, subtask: int, message: bytes) -> None:
        """Sends a message of the connector's own."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Runs `action` on the coordinator's thread after `delay_s`, for discovery."""


class SplitEnumerator(ABC):
    """Finds splits and hands them out. One per source, beside the coordinator; called on its thread only."""

    def start(self) -> None:
        """Called once, after a restore or on a fresh start."""

    @abstractmethod
    def handle_split_request(self, subtask: int) -> None:
        """A reader asks for a split: assign one, say no more, or remember the request and say that there is none yet."""

    @abstractmethod
    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        """Splits return from a reader that is gone: those that the reader in its place does not find in the checkpoint it is restored from.

        There may be none. What the old reader asked for is void; the new one asks again when it starts.
        """

    @abstractmethod
    def snapshot(self, checkpoint_id: int) -> bytes:
        """What is needed to go on: splits not yet assigned, and how far discovery has come."""

    def receive(self, subtask: int, message: bytes) -> None:
        """A message of the connector's own reader."""

    def close(self) -> None:
        """Releases everything."""


class Source(ABC, Generic[T_co]):
    """A picklable description of where records come from.

    Attributes:
        bounded: the input has an end.
        capabilities: what the source can do.
    """

    bounded: bool
    capabilities: SourceCapabilities

    @abstractmethod
    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        """The enumerator; `state` is what an earlier one's `snapshot` returned, None on a fresh start.

        Bad options, a missing file or an unreachable server that can be known here should raise here, before data flows.
        """

    @abstractmethod
    def create_reader(self, context: ReaderContext) -> SourceReader[T_co]:
        """A reader for one subtask."""
