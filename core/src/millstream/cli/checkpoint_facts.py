"""What a checkpoint holds, over all subtasks: operators, states, positions of sources, and what sinks have yet to commit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from millstream.checkpoint.pending_work import decoded, items_of, pending_work
from millstream.cli.checkpoint_files import read_state_file
from millstream.contracts.source import Split
from millstream.records import MIN_TIMESTAMP
from millstream.runtime.operators.source import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.checkpoint.manifest import BlobRef, Manifest, OperatorState
    from millstream.cli.checkpoint_paths import StoredCheckpoint
    from millstream.contracts.serializer import SerializerDescription


@dataclass(frozen=True)
class OperatorFacts:
    """An operator.

    Attributes:
        watermark_ms: its event time: the lowest of its subtasks, None while one of them has none.
    """

    name: str
    parallelism: int
    max_parallelism: int
    watermark_ms: int | None = None


@dataclass(frozen=True)
class StateFacts:
    """A state of an operator.

    Attributes:
        kind: as the engine names it; `list by split` and `list by lane` for operator list state.
        keys: how keys were written; None where there are none.
        values: how values were written; None where that is the engine's own affair.
        entries: number of entries or items.
        size_bytes: of the entries, encoded.
    """

    kind: str
    keys: SerializerDescription | None = None
    values: SerializerDescription | None = None
    entries: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class PendingFacts:
    """What a sink has sealed and not committed as far as the checkpoint knows.

    Attributes:
        contract: `two-phase-commit` or `write-ahead`.
        checkpoints: ids of the checkpoints whose barriers sealed it, ascending.
        size_bytes: of the committables, or of the records in the log.
    """

    contract: str
    checkpoints: list[int] = field(default_factory=list)
    size_bytes: int = 0


StateKey = tuple[str, str]
"""Uid of the operator, and name of the state or id of the split."""


def operators_in(manifest: Manifest) -> dict[str, OperatorFacts]:
    """Every operator that has a place in the checkpoint, by uid, in the order of the program."""
    watermarks: dict[str, list[int | None]] = {}
    for state in _states(manifest):
        watermarks.setdefault(state.uid, []).append(state.watermark)
    return {
        info.uid: OperatorFacts(info.name, info.parallelism, info.max_parallelism, _lowest(watermarks.get(info.uid, [])))
        for info in manifest.operators
    }


def states_in(manifest: Manifest) -> dict[StateKey, StateFacts]:
    """Every state, in the order of the operators and of their names."""
    found: dict[StateKey, StateFacts] = {}
    for state in _states(manifest):
        for name, description in state.tables.items():
            known = found.get((state.uid, name), StateFacts(description.kind))
            found[state.uid, name] = replace(known, keys=description.keys, values=description.values)
        for chunk in state.chunks:
            _add(found, (state.uid, chunk.table), chunk.entries, chunk.blob.length)
        for name, items in state.lists.items():
            found.setdefault((state.uid, name), StateFacts(f"list by {items.mode}", values=items.description))
            _add(found, (state.uid, name), len(items.items), sum(ref.length for ref in items.items))
    order = {info.uid: number for number, info in enumerate(manifest.operators)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0][1])))


def positions_in(checkpoint: StoredCheckpoint, manifest: Manifest) -> dict[StateKey, dict[str, Any]]:
    """Where each split stands that a source reader had.

    Raises:
        DamagedCheckpoint: a state file is missing or does not verify.
    """
    items = items_of(manifest, SPLITS, partial(read_state_file, checkpoint), checkpoint.location)
    splits = ((uid, decoded(data, Split)) for uid, data in items)
    return {(uid, split.split_id): split.data for uid, split in splits if split is not None}


def pending_in(checkpoint: StoredCheckpoint, manifest: Manifest) -> dict[str, PendingFacts]:
    """What sinks have yet to commit, by uid; sinks without any are left out.

    Raises:
        DamagedCheckpoint: a state file is missing or does not verify.
    """
    work = pending_work(manifest, partial(read_state_file, checkpoint), checkpoint.location)
    return {uid: PendingFacts(each.contract, sorted(set(each.checkpoints)), each.size_bytes) for uid, each in work.items()}


def blobs_of(state: OperatorState) -> Iterator[tuple[str, BlobRef]]:
    """Every reference of an operator's state, with the name of the earlier file that it leads into; empty for the task's own."""
    for chunk in state.chunks:
        yield chunk.file, chunk.blob
    for items in state.lists.values():
        for ref in items.items:
            yield "", ref


def _states(manifest: Manifest) -> Iterator[OperatorState]:
    for task in manifest.tasks:
        yield from task.operators


def _lowest(watermarks: list[int | None]) -> int | None:
    known = [watermark for watermark in watermarks if watermark is not None and watermark > MIN_TIMESTAMP]
    return min(known) if known and len(known) == len(watermarks) else None


def _add(found: dict[StateKey, StateFacts], key: StateKey, entries: int, size_bytes: int) -> None:
    known = found.get(key, StateFacts(""))
    found[key] = replace(known, entries=known.entries + entries, size_bytes=known.size_bytes + size_bytes)
