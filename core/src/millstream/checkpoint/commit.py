"""The engine's half of two-phase commit: what is pending, when it is committed, and in which order after a crash."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.contracts.two_phase_commit import Retry, TwoPhaseCommitWriter
from millstream.contracts.versions import check_version
from millstream.errors import DamagedState, RewoundTarget
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.sink import SinkContext

log = logging.getLogger(__name__)


class PendingEpoch(msgspec.Struct, frozen=True):
    """Prepared work that waits for its checkpoint.

    Attributes:
        version: of this record.
        checkpoint_id: the checkpoint whose barrier sealed it.
        committable: the connector's own bytes.
    """

    version: int
    checkpoint_id: int
    committable: bytes


class TwoPhaseCommitter:
    """Pending epochs of one sink subtask.

    Notifications may be lost, late or doubled: one commits every pending epoch up to its id, oldest first, and finding none is fine. A
    declined checkpoint's epoch stays pending and goes with the next completed one.

    Args:
        writer: the open connector.
        context: who is writing.
        schedule: runs a function after so many seconds on the mailbox thread.
    """

    def __init__(self, writer: TwoPhaseCommitWriter[Any], context: SinkContext, schedule: Callable[[float, Callable[[], None]], None]) -> None:
        self._writer = writer
        self._context = context
        self._schedule = schedule
        self._pending: list[tuple[int, PendingEpoch]] = []
        self._complete_id = 0
        context.metrics.gauge("pendingEpochs", lambda: len(self._pending))

    def recover(self, items: Sequence[tuple[int, bytes]], restored_id: int | None, *, rewound: bool) -> None:
        """Commits everything a restored checkpoint holds, then removes what is left of earlier attempts."""
        self._pending = sorted(((lane, _decode(item)) for lane, item in items), key=lambda entry: entry[1].checkpoint_id)
        if not rewound:
            self._refuse_rewind(restored_id or 0)
        keep = [epoch.committable for _, epoch in self._pending]
        first = True
        while self._pending:
            outcome = self._commit_first()
            if outcome is not None:
                self._context.clock.wait(Event(), outcome.after_s)
            elif first:
                crash_point("recovery.after_first_commit")
                first = False
        crash_point("recovery.before_abort")
        self._writer.abort_lingering(keep)
        crash_point("recovery.after")

    def _refuse_rewind(self, restored_id: int) -> None:
        for lane in self._context.owned_lanes:
            newest = self._writer.newest_committed(lane)
            if newest is not None and newest > restored_id:
                raise RewoundTarget(sink_uid=self._context.sink_uid, lane=lane, marker=newest, restored=restored_id)

    def prepare(self, checkpoint_id: int) -> None:
        """Seals the open epoch."""
        crash_point("sink.prepare.before")
        committable = self._writer.prepare(checkpoint_id)
        if committable is not None:
            self._pending.append((self._context.lane, PendingEpoch(1, checkpoint_id, committable)))
        crash_point("sink.prepare.after")

    def snapshot(self) -> list[tuple[int, bytes]]:
        """Pending epochs with their lanes."""
        return [(lane, msgspec.msgpack.encode(epoch)) for lane, epoch in self._pending]

    def complete(self, checkpoint_id: int) -> bool:
        """The checkpoint is durable: commits what waits for it. False when some of it has to be tried again later."""
        self._complete_id = max(self._complete_id, checkpoint_id)
        committed = 0
        while self._pending and self._pending[0][1].checkpoint_id <= self._complete_id:
            if committed:
                crash_point("sink.commit.between_epochs")
            outcome = self._commit_first()
            if outcome is not None:
                self._schedule(outcome.after_s, lambda: self._again())
                return False
            committed += 1
        return True

    def _again(self) -> None:
        self.complete(self._complete_id)

    def has_pending(self) -> bool:
        """Whether something of a completed checkpoint is not committed yet."""
        return bool(self._pending) and self._pending[0][1].checkpoint_id <= self._complete_id

    def _commit_first(self) -> Retry | None:
        lane, epoch = self._pending[0]
        crash_point("sink.commit.before")
        outcome = self._writer.commit(lane, epoch.checkpoint_id, epoch.committable)
        if isinstance(outcome, Retry):
            log.warning("commit of checkpoint %d is tried again in %g s: %s", epoch.checkpoint_id, outcome.after_s, outcome.reason)
            return outcome
        crash_point("sink.commit.after")
        del self._pending[0]
        return None


def _decode(data: bytes) -> PendingEpoch:
    try:
        epoch = msgspec.msgpack.decode(data, type=PendingEpoch)
    except msgspec.MsgspecError as error:
        raise DamagedState(serializer="a prepared epoch of a sink", reason=str(error)) from error
    check_version("A prepared epoch of a sink", epoch.version, 1)
    return epoch
