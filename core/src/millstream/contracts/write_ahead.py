"""Sinks whose records wait in the checkpoint and reach the target in one atomic write together with a marker.

Guarantee: exactly once, when the marker is atomic with the records and older attempts are fenced. Nothing is lost however long the
job is down: no transaction stays open at the target.

Order on recovery, kept by the engine: `fence` every owned lane, `read_marker`, commit what the restored checkpoint holds beyond
the marker in order, then the first record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from millstream.contracts.sink import BaseSink, SinkContext

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Marker:
    """How far a lane has come.

    Attributes:
        checkpoint_id: the last epoch of which something was written.
        chunk: 0-based number of the last chunk of that epoch.
    """

    checkpoint_id: int
    chunk: int


class WriteAheadLanes(ABC, Generic[T]):
    """The target as one subtask sees it, for records as the log keeps them. Called on the mailbox thread.

    Markers are kept per (run id, sink uid, lane); `run_id` and `sink_uid` come from the context of `open`.
    """

    @abstractmethod
    def fence(self, lane: int) -> None:
        """From now on commits of older attempts to the lane fail with Fenced and change nothing."""

    @abstractmethod
    def read_marker(self, lane: int) -> Marker | None:
        """The lane's marker as committed at the target; None when it has none."""

    @abstractmethod
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[T]) -> None:
        """Writes the records and moves the lane's marker to (checkpoint_id, chunk), both or neither.

        Raises:
            Fenced: a newer attempt owns the lane.
            OSError: or another error of the client: nothing is known of the outcome; the engine opens anew and reads the marker.
        """

    def close(self) -> None:
        """Releases everything."""


class WriteAheadSink(BaseSink[T]):
    """A sink that takes the records of a completed checkpoint.

    Attributes:
        record_type: declared type of what is in the log, which makes the log in the checkpoint typed; None for the data codec.
        trusted_log_form: `log_form` makes values of that type only, with fields as they are declared. The log is then not read back to find a
            value that it does not carry, which is most of what the log takes; what is not so would be found when it is committed, too late.
    """

    record_type: Any = None
    trusted_log_form: bool = False

    def check(self, records: Sequence[T]) -> None:
        """Called with records before they get into the log, which must hold nothing that `commit_batch` can never write: it would be
        found in every restore from then on.

        Raises:
            TypeError, ValueError: one of them cannot be written. It is then found by a call for each; the sink's `on_error` says what
                becomes of it.
            MillstreamError: no record is at fault; the job fails, whatever `on_error` says.
        """

    def log_form(self, records: Sequence[T], timestamps: Sequence[int] | None) -> Sequence[Any]:
        """What the log keeps of records, one for each, and `commit_batch` is given: the records themselves, unless a sink makes of them
        what it will send, bytes and timestamp say.

        Args:
            records: that `check` has passed.
            timestamps: their event times in ms; None where the stream has none.

        Raises:
            TypeError, ValueError: as `check` does.
            MillstreamError: as `check` does: a registry of schemas does not answer, say.
        """
        return records

    @abstractmethod
    def open(self, context: SinkContext) -> WriteAheadLanes[Any]:
        """Connects. Does not fence yet."""
