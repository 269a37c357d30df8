"""A sink opened in this process, as successive attempts of a job would open it: for what needs no process to be killed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.sink import EndedRun, SinkContext
from millstream.contracts.two_phase_commit import Retry
from millstream.contracts.write_ahead import Marker, WriteAheadSink
from millstream.runtime.launch import system_ports
from millstream.runtime.metrics import MetricRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.oracle import Row

RUN: Final = "1" * 32
OTHER_RUN: Final = "2" * 32
_RETRIES: Final = 100
_LONGEST_WAIT_S: Final = 0.2


def rows(first: int, count: int) -> list[Row]:
    """So many different rows, counted from a number."""
    return [(number, number % 4, number // 4 + 1) for number in range(first, first + count)]


@dataclass(frozen=True)
class Sealed:
    """An epoch behind its barrier, as a checkpoint would hold it.

    Attributes:
        lane: that it was written in.
        checkpoint_id: whose barrier sealed it.
        committable: two-phase commit: what the sink returned.
        records: write-ahead: what is to be written.
    """

    lane: int
    checkpoint_id: int
    committable: bytes | None = None
    records: tuple[Any, ...] = ()


class Attempt:
    """One subtask of one attempt, with the engine's part played by the test. The same for all kinds of sinks.

    Attributes:
        client: the connector's own writer or lanes.
    """

    def __init__(self, harness: SinkHarness, target: str, context: SinkContext, *, fence: bool = True) -> None:
        self._record = harness.record
        self._context = context
        self._open: list[Any] = []
        self._sink = sink = harness.resolved(target)
        self._chunk = sink.capabilities.max_commit_records
        self.kind = sink.capabilities.kind
        opened: Any = sink.open(context)
        self.client = opened
        if fence:
            self.fence()

    def fence(self) -> None:
        """Write-ahead only: what follows the opening. The other kinds fence when they are opened."""
        if isinstance(self._sink, WriteAheadSink):
            for lane in self._context.owned_lanes:
                self.client.fence(lane)

    def write(self, values: Sequence[Row]) -> None:
        """Writes rows into the open epoch."""
        if self.kind == "write_ahead":
            self._open += self.logged(values)
        else:
            self.client.write(list(map(self._record, values)), None)

    def logged(self, values: Sequence[Row]) -> list[Any]:
        """Write-ahead only: rows as the log would keep them."""
        assert isinstance(self._sink, WriteAheadSink)
        records = list(map(self._record, values))
        self._sink.check(records)
        return list(self._sink.log_form(records, None))

    def seal(self, checkpoint_id: int) -> Sealed | None:
        """The barrier. None for an epoch that leaves nothing to commit."""
        lane = self._context.lane
        if self.kind == "write_ahead":
            records, self._open = tuple(self._open), []
            return Sealed(lane, checkpoint_id, records=records) if records else None
        if self.kind == "two_phase_commit":
            committable = self.client.prepare(checkpoint_id)
            if committable is None:
                return None
            assert isinstance(committable, bytes), f"prepare() returned {type(committable).__name__}, which no checkpoint can keep; return bytes"
            # A copy: what a checkpoint gives back is equal, never the same object.
            return Sealed(lane, checkpoint_id, bytes(bytearray(committable)))
        self.client.flush()
        return None

    def commit(self, sealed: Sealed | None) -> None:
        """The checkpoint is complete, or restored. As the engine does it."""
        if sealed is None:
            return
        if sealed.committable is not None:
            self._commit_prepared(sealed, sealed.committable)
            return
        marker = self.client.read_marker(sealed.lane)
        step = self._chunk or len(sealed.records)
        for chunk, begin in enumerate(range(0, len(sealed.records), step)):
            if marker is None or marker < Marker(sealed.checkpoint_id, chunk):
                self.client.commit_batch(sealed.lane, sealed.checkpoint_id, chunk, list(sealed.records[begin : begin + step]))

    def _commit_prepared(self, sealed: Sealed, committable: bytes) -> None:
        for _ in range(_RETRIES):
            outcome = self.client.commit(sealed.lane, sealed.checkpoint_id, committable)
            if not isinstance(outcome, Retry):
                return
            self._context.clock.wait(threading.Event(), min(outcome.after_s, _LONGEST_WAIT_S))
        raise AssertionError(f"commit() answered Retry {_RETRIES} times: {outcome.reason}")

    def abort_lingering(self, keep: Sequence[Sealed] = ()) -> None:
        """The end of a recovery."""
        if self.kind == "two_phase_commit":
            self.client.abort_lingering([sealed.committable for sealed in keep if sealed.committable is not None])

    def close(self) -> None:
        """Closes the connector."""
        self.client.close()


class Attempts:
    """Opens a sink again and again, and closes what is left open at the end."""

    def __init__(self, harness: SinkHarness, target: str) -> None:
        self.harness = harness
        self.target = target
        self._opened: list[Attempt] = []
        self._ports = system_ports(seed=1)

    def open(
        self,
        attempt: int = 0,
        *,
        run_id: str = RUN,
        sink_uid: str = "out",
        lane: int = 0,
        parallelism: int = 1,
        owned: tuple[int, ...] | None = None,
        fence: bool = True,
    ) -> Attempt:
        """A new attempt; the older ones stay open, as those of a process that hangs would.

        Args:
            fence: False leaves fencing to the test.
        """
        ports = self._ports
        context = SinkContext(
            job_name="conformance",
            run_id=run_id,
            sink_uid=sink_uid,
            subtask=lane,
            parallelism=parallelism,
            attempt=attempt,
            lane=lane,
            owned_lanes=owned if owned is not None else (lane,),
            clock=ports.clock,
            random=ports.random,
            storage=ports.storage,
            executor=ports.executor,
            metrics=MetricRegistry(ports.clock).group("conformance", sink_uid, str(lane)),
        )
        made = Attempt(self.harness, self.target, context, fence=fence)
        self._opened.append(made)
        return made

    def release(self, attempt: Attempt) -> None:
        """Closes one attempt now, on the thread that asks for it."""
        self._opened.remove(attempt)
        attempt.close()

    def forget_run(self, run_id: str, sink_uid: str = "out") -> None:
        """A run is over for good."""
        self.harness.resolved(self.target).forget_run(EndedRun("conformance", run_id, sink_uid, self._ports.storage))

    def seen(self) -> list[Row]:
        """What a reader of the target sees, in the order of the numbers."""
        return sorted(self.harness.seen(self.target))

    def close(self) -> None:
        """Closes every attempt."""
        while self._opened:
            self._opened.pop().close()
        self._ports.executor.close()


@contextmanager
def opening(harness: SinkHarness, target: str) -> Iterator[Attempts]:
    """Attempts that are closed at the end, also when the test fails."""
    attempts = Attempts(harness, target)
    try:
        yield attempts
    finally:
        attempts.close()
