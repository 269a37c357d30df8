"""What sinks had sealed and not yet committed when a checkpoint was taken, as far as the checkpoint knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from millstream.checkpoint.commit import PendingEpoch
from millstream.checkpoint.manifest import blob
from millstream.checkpoint.write_ahead import LaneLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millstream.checkpoint.manifest import FileRef, Manifest
    from millstream.contracts.serializer import SerializerDescription

S = TypeVar("S")

TWO_PHASE_COMMIT: Final = "two-phase-commit"
WRITE_AHEAD: Final = "write-ahead"
"""Names of the lane lists in checkpoints."""


@dataclass
class PendingWork:
    """Of one sink.

    Attributes:
        contract: name of its lane list.
        checkpoints: ids of the checkpoints whose barriers sealed it, one for each epoch.
        size_bytes: of the committables, or of the records in the logs.
        records: how the records of the logs were written, each way once.
    """

    contract: str
    checkpoints: list[int] = field(default_factory=list)
    size_bytes: int = 0
    records: list[SerializerDescription] = field(default_factory=list)


def pending_work(manifest: Manifest, read: Callable[[FileRef], bytes], where: str) -> dict[str, PendingWork]:
    """By uid; sinks without any are left out.

    Args:
        manifest: the checkpoint.
        read: gives a file's bytes, verified.
        where: what to call the checkpoint in errors.

    Raises:
        DamagedCheckpoint: a state file is missing or does not verify.
    """
    found: dict[tuple[str, str], PendingWork] = {}
    for uid, data in items_of(manifest, TWO_PHASE_COMMIT, read, where):
        epoch = decoded(data, PendingEpoch)
        if epoch is not None:
            work = found.setdefault((uid, TWO_PHASE_COMMIT), PendingWork(TWO_PHASE_COMMIT))
            work.checkpoints.append(epoch.checkpoint_id)
            work.size_bytes += len(epoch.committable)
    for uid, data in items_of(manifest, WRITE_AHEAD, read, where):
        log = decoded(data, LaneLog)
        if log is not None and log.epochs:
            work = found.setdefault((uid, WRITE_AHEAD), PendingWork(WRITE_AHEAD))
            work.checkpoints += [epoch.checkpoint_id for epoch in log.epochs]
            work.size_bytes += sum(len(batch) for epoch in log.epochs for batch in epoch.batches)
            if log.records not in work.records:
                work.records.append(log.records)
    return {uid: work for (uid, _), work in found.items()}


def items_of(manifest: Manifest, name: str, read: Callable[[FileRef], bytes], where: str) -> Iterator[tuple[str, bytes]]:
    """Uid and bytes of each item of the operator lists of that name."""
    for task in manifest.tasks:
        holders = [state for state in task.operators if name in state.lists]
        if not holders or task.file is None:
            continue
        data = read(task.file)
        for state in holders:
            for ref in state.lists[name].items:
                yield state.uid, blob(data, ref, where)


def decoded(data: bytes, kind: type[S]) -> S | None:
    """An item of that kind; None when it is none: a user's operator may have a list of the same name."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError:
        return None
